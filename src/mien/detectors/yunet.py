"""YuNet: one small network that tells faces and five landmarks at three strides, shown every picture at two sizes.

Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research, 2023. The weights are
those of YuNet-n as its authors exported them, with free width and height; `mien models pull yunet` fetches them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.detectors.pyramid import Pyramid
from mien.detectors.suppression import suppress
from mien.errors import ModelError, UsageError
from mien.models.session import Session, cores
from mien.models.store import read_model
from mien.results import Box, Detection, Frame

Floats = NDArray[np.float32]

_STRIDES = (8, 16, 32)
_KINDS = ("cls", "obj", "bbox", "kps")
_LEAST, _MOST = 10.0, 300.0  # pixels of the faces that it was trained on; in larger ones it sees several
_SHOWN = 16.0  # pixels that the smallest face to look for has in what the network is shown
_FULL = 320  # pixels on the long side up to which making a picture smaller saves nothing that counts
_SMALLER = 4  # times, the second size
_OVERLAP = 0.3
_SLACK = 0.6  # of the smallest side: boxes of one face differ, and what is nearly large enough is no mistake
_AROUND, _SIDE = 2.0, 128  # to follow a face: the side of the square about it, in its own sides and in pixels shown


class Yunet:
    """The network, shown each frame at two sizes: one for small faces, and one for those that fill the picture."""

    def __init__(
        self,
        *,
        min_face: float = 24.0,
        threshold: float = 0.6,
        working_size: int = 1280,
        model: str | Path = "yunet",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Load the network.

        Args:
            min_face: side of the smallest face to look for, in pixels of the original picture, >= 10. The network is
                shown large pictures so that such a face has 16 pixels, and never enlarged: twice as much is a
                quarter of the time.
            threshold: the score that a face needs, 0 to 1.
            working_size: bound in pixels on the long side of what the network is shown.
            model: a name in the registry, or the path of another export with free width and height.
            threads: how many to compute with; None is one for each core, which all networks have in common.
            device: what to compute on, one of `mien.models.providers.NAMES`.

        Raises:
            ModelError: the file is not there (`mien models pull yunet` fetches it), or is no such network.
            UsageError: a parameter lies outside its range, or the device is not there.

        """
        if not _LEAST <= min_face < math.inf:
            raise UsageError(f"the smallest face is {_LEAST:g} pixels, not {min_face:g}")
        if not 0.0 <= threshold <= 1.0:
            raise UsageError("the threshold is a score from 0 to 1")
        if working_size < _STRIDES[-1]:
            raise UsageError(f"the working size is at least {_STRIDES[-1]} pixels")
        self._min_face = min_face
        self._threshold = threshold
        self._working_size = working_size
        self._session = Session(read_model(model).content, name=str(model), threads=threads, device=device)
        self._check(str(model))

    def _check(self, name: str) -> None:
        """Run the network on what it will be shown, two pictures that are no square."""
        wanted = {f"{kind}_{stride}" for kind in _KINDS for stride in _STRIDES}
        if missing := sorted(wanted.difference(self._session.outputs)):
            raise ModelError(f"{name}: it is no YuNet: it lacks the outputs {', '.join(missing)}")
        try:
            self._decode(self._session(np.zeros((2, 3, 32, 64), np.float32)), 64, 32)
        except Exception as error:  # onnxruntime has a dozen unrelated exception types for this
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{name}: it does not take pictures of any size; the file meant is that of mien models pull yunet "
                f"({first})"
            ) from error

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Return the faces of each frame, the surest first."""
        found: list[list[Detection]] = []
        together = cores()  # side by side, and no more of them in memory
        for start in range(0, len(frames), together):
            found += self._find(frames[start : start + together])
        return found

    def follow(self, frame: Frame, boxes: Sequence[Box]) -> list[Detection | None]:
        """Look again about where faces were, for a third of the work of a small frame, and less of a large one.

        In films of people talking and turning, what it finds has an IoU of 0.91 to 0.93 (median) with what is found
        in the whole frame.
        """
        if not boxes:
            return []
        squares = _squares(np.array(boxes, np.float32))
        crops = Pyramid(frame).cut(squares, _SIDE)
        answers = self._decode(self._session(_prepared(crops)), _SIDE, _SIDE)
        found: list[Detection | None] = []
        for square, *face in zip(squares, *answers, strict=True):
            zoom = (square[2:] - square[:2]) / np.float32(_SIDE)
            faces = self._faces(face[0], face[1], face[2], zoom, square[:2])
            # of neighbours in the square, the one in its middle is meant
            middle = (square[:2] + square[2:]) / 2
            found.append(min(_detections(*faces), key=lambda one: _distance(one.box, middle), default=None))
        return found

    def _find(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        shown = [
            [np.asarray(level) for level in Pyramid(frame, self._sizes(frame.width, frame.height)).levels]
            for frame in frames
        ]
        answers = iter(self._session.each([_padded(level) for levels in shown for level in levels]))
        found = []
        for frame, levels in zip(frames, shown, strict=True):
            parts = []
            for level in levels:
                height, width = level.shape[:2]
                boxes, scores, landmarks = self._decode(next(answers), _whole(width), _whole(height))
                zoom = np.array([frame.width / width, frame.height / height], np.float32)
                scores = np.where(_sides(boxes) <= _MOST, scores, 0.0)
                parts.append(self._faces(boxes[0], scores[0], landmarks[0], zoom, np.zeros(2, np.float32)))
            boxes, scores, landmarks = (np.concatenate(part) for part in zip(*parts, strict=True))
            kept = suppress(boxes, scores, _OVERLAP)
            found.append(_detections(boxes[kept], scores[kept], landmarks[kept]))
        return found

    def _sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return the two sizes, width and height, at which the network is shown a picture."""
        longer = max(width, height)
        zoom = min(1.0, max(_SHOWN / self._min_face, _FULL / longer), self._working_size / longer)
        return [(max(1, round(width * part)), max(1, round(height * part))) for part in (zoom, zoom / _SMALLER)]

    def _decode(self, answers: Sequence[Floats], width: int, height: int) -> tuple[Floats, Floats, Floats]:
        """Return what the network says of each of its cells, in pixels of what it was shown.

        Args:
            answers: the network's outputs for n pictures.
            width: of the pictures, a multiple of the largest stride.
            height: likewise.

        Returns:
            Boxes (n, cells, 4), scores (n, cells), landmarks (n, cells, 5, 2).

        """
        named = dict(zip(self._session.outputs, answers, strict=True))
        boxes, scores, landmarks = [], [], []
        for stride in _STRIDES:
            kind, sure, place, points = (named[f"{kind}_{stride}"] for kind in _KINDS)
            rows, columns = np.divmod(np.arange(height // stride * (width // stride)), width // stride)
            cells = np.stack([columns, rows], axis=1).astype(np.float32)
            centres, half = (place[..., :2] + cells) * stride, np.exp(place[..., 2:]) * (stride / 2)
            boxes.append(np.concatenate([centres - half, centres + half], axis=-1))
            scores.append(np.sqrt(kind * sure)[..., 0])
            landmarks.append((points.reshape(*points.shape[:2], 5, 2) + cells[:, None]) * stride)
        return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1), np.concatenate(landmarks, axis=1)

    def _faces(
        self, boxes: Floats, scores: Floats, landmarks: Floats, zoom: Floats, corner: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return what passes of one picture's cells, in pixels of the original, the surest of each face alone."""
        passed = np.flatnonzero(scores >= self._threshold)
        boxes = boxes[passed] * np.tile(zoom, 2) + np.tile(corner, 2)
        large = _sides(boxes) >= _SLACK * self._min_face
        passed, boxes = passed[large], boxes[large]
        kept = suppress(boxes, scores[passed], _OVERLAP)
        return boxes[kept], scores[passed][kept], landmarks[passed][kept] * zoom + corner


def _whole(side: int) -> int:
    """Return the next multiple of the largest stride, which sides of pictures have to be."""
    return -(-side // _STRIDES[-1]) * _STRIDES[-1]


def _padded(picture: NDArray[np.uint8]) -> Floats:
    """Return a picture (height, width, 3) as the network takes it, with black on the right and below."""
    height, width = picture.shape[:2]
    canvas = np.zeros((1, _whole(height), _whole(width), 3), np.uint8)
    canvas[0, :height, :width] = picture
    return _prepared(canvas)


def _prepared(pictures: NDArray[np.uint8]) -> Floats:
    """Return RGB pictures (n, height, width, 3) as the network takes them: BGR, (n, 3, height, width), 0 to 255."""
    return np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2), np.float32)


def _sides(boxes: Floats) -> Floats:
    """Return the square roots of the areas of `boxes` (..., 4)."""
    sides: Floats = np.sqrt(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1))
    return sides


def _squares(boxes: Floats) -> Floats:
    """Return squares about the centres of `boxes` (n, 4) that have room for the face to move."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).max(axis=1, keepdims=True) * (_AROUND / 2)
    return np.concatenate([centres - half, centres + half], axis=1)


def _distance(box: Box, point: Floats) -> float:
    return math.hypot((box[0] + box[2]) / 2 - float(point[0]), (box[1] + box[3]) / 2 - float(point[1]))


def _detections(boxes: Floats, scores: Floats, landmarks: Floats) -> list[Detection]:
    return [
        Detection((x1, y1, x2, y2), score, tuple((x, y) for x, y in points))
        for (x1, y1, x2, y2), score, points in zip(boxes.tolist(), scores.tolist(), landmarks.tolist(), strict=True)
    ]
