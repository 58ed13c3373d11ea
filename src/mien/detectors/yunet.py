"""YuNet: one small network that tells faces and five landmarks at three strides, looking at a picture twice.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. The weights are
YuNet-n, as its authors exported them with free width and height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.detectors.pyramid import Pyramid
from mien.detectors.suppression import suppress
from mien.errors import ModelError, UsageError
from mien.models.session import Session, cores
from mien.models.store import read_model
from mien.results import Box, Detection, Frame

Floats = NDArray[np.float32]

_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES)
_LEAST = 10.0  # pixels: the smallest faces that the network was trained on
_SEEN = 16.0  # pixels that the smallest face shall have in what the network is shown
_SMALLER = 4  # the second look is at so many times fewer pixels across: it has the faces beyond 300 pixels
_OVERLAP = 0.3
_AROUND, _SIDE = 2.5, 96  # to follow a face: a square so many times as large as it, and its side in pixels


class Yunet:
    """The network, run on each frame at two sizes: small faces are found in the one, frame-filling ones in the other."""

    def __init__(
        self,
        *,
        model: str | Path = "yunet",
        min_face: float = 24.0,
        threshold: float = 0.6,
        working_size: int = 1280,
        threads: int | None = None,
    ) -> None:
        self._session = Session(read_model(model).content, name=str(model), threads=threads)
        self._min_face = min_face
        self._threshold = threshold
        self._working_size = working_size

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Return the faces of each frame, the surest first."""
        found: list[list[Detection]] = []
        together = cores()
        for start in range(0, len(frames), together):
            found += self._find(frames[start : start + together])
        return found

    def _find(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        levels = [Pyramid(frame, self._sizes(frame.width, frame.height)).levels for frame in frames]
        answers = iter(self._session.each([_padded(level) for shown in levels for level in shown]))
        found = []
        for frame, shown in zip(frames, levels, strict=True):
            parts = []
            for level in shown:
                boxes, scores, landmarks = (part[0] for part in self._decode(next(answers), _up(level.width), _up(level.height)))
                zoom = np.array([frame.width / level.width, frame.height / level.height], np.float32)
                sure = scores >= self._threshold
                parts.append((boxes[sure] * np.tile(zoom, 2), scores[sure], landmarks[sure] * zoom))
            boxes, scores, landmarks = (np.concatenate(part) for part in zip(*parts, strict=True))
            kept = suppress(boxes, scores, _OVERLAP)
            found.append(_detections(boxes[kept], scores[kept], landmarks[kept]))
        return found

    def _sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        zoom = min(1.0, _SEEN / self._min_face, self._working_size / max(width, height))
        first = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        second = (max(1, first[0] // _SMALLER), max(1, first[1] // _SMALLER))
        return [first, second]

    def _decode(self, answer, width, height):
        named = dict(zip(self._session.outputs, answer, strict=True))
        boxes, scores, landmarks = [], [], []
        for stride in _STRIDES:
            columns, rows = width // stride, height // stride
            cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2).astype(np.float32)
            cls, obj, box, points = (named[f"{kind}_{stride}"] for kind in ("cls", "obj", "bbox", "kps"))
            scores.append(np.sqrt(cls * obj)[..., 0])
            centres = (cells + box[..., :2]) * stride
            half = np.exp(box[..., 2:]) * stride / 2
            boxes.append(np.concatenate([centres - half, centres + half], axis=-1))
            landmarks.append((points.reshape(*points.shape[:2], 5, 2) + cells[:, None]) * stride)
        return [np.concatenate(part, axis=1) for part in (boxes, scores, landmarks)]


def _up(side):
    return -(-side // 32) * 32


def _padded(level):
    values = np.zeros((1, 3, _up(level.height), _up(level.width)), np.float32)
    values[0, :, : level.height, : level.width] = np.asarray(level)[..., ::-1].transpose(2, 0, 1)
    return values


def _detections(boxes, scores, landmarks):
    return [
        Detection((x1, y1, x2, y2), score, tuple((x, y) for x, y in points))
        for (x1, y1, x2, y2), score, points in zip(boxes.tolist(), scores.tolist(), landmarks.tolist(), strict=True)
    ]
