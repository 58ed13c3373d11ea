"""MTCNN: three small networks in a cascade, each looking closer at what the one before proposed.

Zhang, Zhang, Li, Qiao: "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters, 2016. The weights are those of facenet-pytorch 2.6.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mien.detectors.pyramid import Pyramid
from mien.detectors.suppression import peaks, suppress
from mien.errors import UsageError
from mien.models.session import Session
from mien.models.store import read_model
from mien.results import Box, Detection, Frame

Floats = NDArray[np.float32]

_CELL = 12  # side of the window that P-Net judges
_STRIDE = 2  # between P-Net's windows
_BATCHES = {24: 32, 48: 8}  # candidates a run at most, by their side: what is computed with then stays in the caches
_STRIP = 40_000  # pixels of a level a run, for the same reason


class Mtcnn:
    """The cascade, run for each frame on its own, with the candidates of each stage in batches."""

    def __init__(
        self,
        *,
        min_face: float = 24.0,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
        scale_factor: float = 0.709,
        working_size: int = 1280,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Load the three networks.

        Args:
            min_face: side of the smallest face to look for, in pixels of the original picture, >= 12.
            thresholds: probability that a candidate needs to pass each of the three stages, 0 to 1.
            scale_factor: ratio of neighbouring levels of the pyramid, between 0 and 1; 0.709 halves the area.
            working_size: bound in pixels on the long side of the pyramid's largest level. It bounds time
                and memory on large pictures, where it raises the smallest face that is found to
                12 x long side / `working_size`.
            threads: how many to compute with; None leaves it to onnxruntime.
            device: what to compute on, one of `mien.models.providers.NAMES`.

        Raises:
            UsageError: a parameter lies outside its range, or the device is not there.

        """
        if not _CELL <= min_face < math.inf:
            raise UsageError(f"the smallest face is {_CELL} pixels, not {min_face:g}")
        if len(thresholds) != 3 or not all(0.0 <= threshold <= 1.0 for threshold in thresholds):
            raise UsageError("thresholds are three probabilities")
        if not 0.0 < scale_factor < 1.0:
            raise UsageError("the scale factor lies between 0 and 1")
        if working_size < _CELL:
            raise UsageError(f"the working size is at least {_CELL} pixels")
        self._min_face = min_face
        self._thresholds = thresholds
        self._factor = scale_factor
        self._working_size = working_size
        self._pnet, self._rnet, self._onet = (
            Session(read_model(f"mtcnn_{net}").content, name=f"mtcnn_{net}", threads=threads, device=device)
            for net in ("pnet", "rnet", "onet")
        )

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Return the faces of each frame, the surest first."""
        return [self._find(frame) for frame in frames]

    def follow(self, frame: Frame, boxes: Sequence[Box]) -> list[Detection | None]:
        """Look again with the last network alone, in a tenth of the time: it finds a face near where it was.

        In films of people talking, turning and walking, what it finds has an IoU of 0.94 (median) with what the
        whole cascade finds in the same frame, and that does not fall over half a second of following.
        """
        if not boxes:
            return []
        squares = _square(np.array(boxes, np.float32))
        found, scores, landmarks, passed = self._judge(self._onet, 48, self._thresholds[2], Pyramid(frame), squares)
        faces = iter(_detections(found, scores, landmarks))
        return [next(faces) if there else None for there in passed.tolist()]

    def _find(self, frame: Frame) -> list[Detection]:
        pyramid = Pyramid(frame)
        boxes = self._propose(pyramid, frame.width, frame.height)

        boxes, scores, _, _ = self._judge(self._rnet, 24, self._thresholds[1], pyramid, _square(boxes))
        boxes = boxes[suppress(boxes, scores, 0.7)]

        boxes, scores, landmarks, _ = self._judge(self._onet, 48, self._thresholds[2], pyramid, _square(boxes))
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        return _detections(boxes[kept], scores[kept], landmarks[kept])

    def _level_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return the sizes at which P-Net looks at a picture: each shows faces of one size in its window."""
        sizes = []
        scale = min(_CELL / self._min_face, self._working_size / max(width, height))
        while min(width, height) * scale >= _CELL:
            sizes.append((max(_CELL, round(width * scale)), max(_CELL, round(height * scale))))
            scale *= self._factor
        return sizes

    def _propose(self, pyramid: Pyramid, width: int, height: int) -> Floats:
        """Grow `pyramid`; return P-Net's boxes (n, 4) over its levels, in pixels of the picture."""
        counts: list[int] = []

        def strips() -> Iterator[NDArray[np.uint8]]:
            for size in self._level_sizes(width, height):
                parts = _strips(np.asarray(pyramid.grow(*size)))
                counts.append(len(parts))
                yield from parts

        answers = iter(self._pnet.each(strips()))
        probabilities, offsets = [], []
        for count in counts:
            parts = list(islice(answers, count))
            probabilities.append(np.concatenate([part[0][0] for part in parts]))
            offsets.append(np.concatenate([part[1][0] for part in parts], axis=1))
        if not counts:
            return np.empty((0, 4), np.float32)
        all_boxes, all_scores = [], []
        kept = peaks(probabilities, self._thresholds[0])
        for level, probability, offset, (rows, columns) in zip(
            pyramid.levels, probabilities, offsets, kept, strict=True
        ):
            cells = np.stack([columns, rows, columns, rows], axis=1).astype(np.float32) * _STRIDE
            cells[:, 2:] += _CELL
            moved = cells + offset[:, rows, columns].T * _CELL
            all_boxes.append(moved * np.array([width / level.width, height / level.height] * 2, np.float32))
            all_scores.append(probability[rows, columns])
        boxes, scores = np.concatenate(all_boxes), np.concatenate(all_scores)
        return boxes[suppress(boxes, scores, 0.7)]

    def _judge(
        self, network: Session, side: int, threshold: float, pyramid: Pyramid, squares: Floats
    ) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        """Run one stage over `squares` (n, 4).

        Returns:
            Of the m that pass: regressed boxes (m, 4), scores (m,), landmarks (m, 5, 2) or (m, 0, 2),
            all in pixels of the picture. And which pass, (n,).

        """
        scores = np.empty(len(squares), np.float32)
        offsets = np.empty((len(squares), 4), np.float32)
        points = np.zeros((len(squares), 10), np.float32)
        parts = network.parts(len(squares), _BATCHES[side])
        answers = network.each((pyramid.cut(squares[part], side) for part in parts), several=len(parts) > 1)
        for part, answer in zip(parts, answers, strict=True):
            scores[part], offsets[part] = answer[:2]
            if len(answer) > 2:
                points[part] = answer[2]
        passed = scores >= threshold
        squares, scores = squares[passed], scores[passed]
        sides = np.tile(squares[:, 2:] - squares[:, :2], 2)
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = landmarks * sides[:, None, :2] + squares[:, None, :2]
        return squares + offsets[passed] * sides, scores, landmarks, passed


def _strips(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return a level (height, width, 3) in parts (1, …), of which P-Net's answers, joined, are those of the level."""
    height, width = pixels.shape[:2]
    rows = (height - 1) // _STRIDE - (_CELL // _STRIDE - 2)  # of windows; the last may reach beyond by a pixel
    step = max(_CELL, _STRIP // (_STRIDE * width))
    count = max(1, round(rows / step))
    edges = [rows * i // count for i in range(count + 1)]
    tops, bottoms = edges[:-1], [_STRIDE * (edge - 1) + _CELL for edge in edges[1:-1]]
    return [pixels[None, _STRIDE * top : bottom] for top, bottom in zip(tops, [*bottoms, height], strict=True)]


def _detections(boxes: Floats, scores: Floats, landmarks: Floats) -> list[Detection]:
    return [
        Detection((x1, y1, x2, y2), score, tuple((x, y) for x, y in points))
        for (x1, y1, x2, y2), score, points in zip(boxes.tolist(), scores.tolist(), landmarks.tolist(), strict=True)
    ]


def _square(boxes: Floats) -> Floats:
    """Return squares about the centres of `boxes` (n, 4), as long as their longer sides, of a pixel at least."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
