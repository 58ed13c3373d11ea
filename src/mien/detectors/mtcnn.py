"""MTCNN: three small networks in a cascade, each looking closer at what the one before proposed.

Zhang, Zhang, Li, Qiao: "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters, 2016. The weights are those of facenet-pytorch 2.6.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import UsageError
from mien.models.session import Session
from mien.models.store import read_model
from mien.results import Detection, Frame

Floats = NDArray[np.float32]

_CELL = 12  # side of the window that P-Net judges
_STRIDE = 2  # between P-Net's windows
_BATCH = 256  # candidates a run, which bounds memory on a crowd


class Mtcnn:
    """The cascade, batched over candidates of all frames at each stage."""

    def __init__(
        self,
        *,
        min_face: float = 24.0,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
        scale_factor: float = 0.709,
        working_size: int = 1280,
        threads: int | None = None,
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

        Raises:
            UsageError: a parameter lies outside its range.

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
            Session(read_model(f"mtcnn_{net}").content, name=f"mtcnn_{net}", threads=threads)
            for net in ("pnet", "rnet", "onet")
        )

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Return the faces of each frame, the surest first."""
        pictures = [Image.fromarray(frame.pixels) for frame in frames]
        proposals = [self._propose(picture) for picture in pictures]
        owners = np.repeat(np.arange(len(frames)), [len(boxes) for boxes in proposals])
        boxes = np.concatenate([*proposals, np.empty((0, 4), np.float32)])

        boxes, scores, owners, _ = self._judge(self._rnet, 24, self._thresholds[1], pictures, boxes, owners)
        kept = _suppress_each(boxes, scores, owners, 0.7)
        boxes, owners = _square(boxes[kept]), owners[kept]

        boxes, scores, owners, landmarks = self._judge(self._onet, 48, self._thresholds[2], pictures, boxes, owners)
        kept = _suppress_each(boxes, scores, owners, 0.7, of_smaller=True)
        found: list[list[Detection]] = [[] for _ in frames]
        for i in kept.tolist():
            x1, y1, x2, y2 = boxes[i].tolist()
            points = tuple((x, y) for x, y in landmarks[i].tolist())
            found[owners[i]].append(Detection((x1, y1, x2, y2), float(scores[i]), points))
        return [sorted(faces, key=lambda face: -(face.score or 0.0)) for faces in found]

    def _propose(self, picture: Image.Image) -> Floats:
        """Return P-Net's squares (n, 4) in pixels of `picture`, over a pyramid of its sizes."""
        width, height = picture.size
        scale = min(_CELL / self._min_face, self._working_size / max(width, height))
        all_boxes, all_scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        level = picture
        while min(width, height) * scale >= _CELL:
            size = (max(_CELL, round(width * scale)), max(_CELL, round(height * scale)))
            # each level is made from the one before, which is nearly as sharp and much smaller
            level = level.resize(size, Image.Resampling.BILINEAR)
            probability, offsets = (answer[0] for answer in self._pnet(np.asarray(level)[None]))
            rows, columns = np.nonzero(probability >= self._thresholds[0])
            scores = probability[rows, columns]
            cells = np.stack([columns, rows, columns, rows], axis=1).astype(np.float32) * _STRIDE
            cells[:, 2:] += _CELL
            kept = _suppress(cells, scores, 0.5)
            ratio = np.array([width / size[0], height / size[1]] * 2, np.float32)
            moved = cells[kept] + offsets[:, rows[kept], columns[kept]].T * _CELL
            all_boxes.append(moved * ratio)
            all_scores.append(scores[kept])
            scale *= self._factor
        boxes, scores = np.concatenate(all_boxes), np.concatenate(all_scores)
        return _square(boxes[_suppress(boxes, scores, 0.7)])

    def _judge(
        self,
        network: Session,
        side: int,
        threshold: float,
        pictures: Sequence[Image.Image],
        boxes: Floats,
        owners: NDArray[np.intp],
    ) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
        """Run one stage over square `boxes` (n, 4), cut from the pictures that `owners` (n,) index.

        Returns:
            Of the m that pass: regressed boxes (m, 4), scores (m,), owners (m,), landmarks (m, 5, 2)
            or (m, 0, 2), all in pixels of the pictures.

        """
        scores = np.empty(len(boxes), np.float32)
        offsets = np.empty((len(boxes), 4), np.float32)
        points = np.zeros((len(boxes), 10), np.float32)
        for start in range(0, len(boxes), _BATCH):
            part = slice(start, start + _BATCH)
            crops = np.stack(
                [_cut(pictures[owner], box, side) for box, owner in zip(boxes[part], owners[part], strict=True)]
            )
            answers = network(crops)
            scores[part], offsets[part] = answers[0], answers[1]
            if len(answers) > 2:
                points[part] = answers[2]
        passed = scores >= threshold
        boxes, scores, owners = boxes[passed], scores[passed], owners[passed]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = landmarks * sides[:, None, :2] + boxes[:, None, :2]
        return boxes + offsets[passed] * sides, scores, owners, landmarks


def _cut(picture: Image.Image, box: Floats, side: int) -> NDArray[np.uint8]:
    """Return the square `box` of `picture` as (side, side, 3); what lies beyond the border is black."""
    x1, y1, x2, y2 = box.tolist()
    inside = (max(0.0, x1), max(0.0, y1), min(float(picture.width), x2), min(float(picture.height), y2))
    if inside == (x1, y1, x2, y2):
        whole = picture.resize((side, side), Image.Resampling.BILINEAR, box=inside, reducing_gap=2.0)
        return np.asarray(whole)
    crop = np.zeros((side, side, 3), np.uint8)
    zoom = side / max(x2 - x1, 1e-6)
    left, top = round((inside[0] - x1) * zoom), round((inside[1] - y1) * zoom)
    right, bottom = round((inside[2] - x1) * zoom), round((inside[3] - y1) * zoom)
    if right > left and bottom > top:
        size = (right - left, bottom - top)
        crop[top:bottom, left:right] = np.asarray(
            picture.resize(size, Image.Resampling.BILINEAR, box=inside, reducing_gap=2.0)
        )
    return crop


def _square(boxes: Floats) -> Floats:
    """Return squares about the centres of `boxes` (n, 4), as long as their longer sides."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def _suppress(boxes: Floats, scores: Floats, overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices to keep, the surest first.

    Args:
        boxes: (n, 4).
        scores: (n,).
        overlap: a box goes where it overlaps a surer one by more than this.
        of_smaller: measure the overlap as a share of the smaller box instead of the union.

    """
    order = np.argsort(-scores, kind="stable")
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        corners = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = np.maximum(corners, 0.0).prod(axis=1)
        if of_smaller:
            whole = np.minimum(areas[best], areas[rest])
        else:
            whole = areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * np.maximum(whole, 1e-6)]
    return np.array(kept, dtype=np.intp)


def _suppress_each(
    boxes: Floats, scores: Floats, owners: NDArray[np.intp], overlap: float, *, of_smaller: bool = False
) -> NDArray[np.intp]:
    """Suppress within each picture: shift each owner's boxes to a place of their own, then as one."""
    if not len(boxes):
        return np.empty(0, dtype=np.intp)
    span = float(boxes.max() - boxes.min()) + 1.0
    apart = boxes + (owners * span)[:, None].astype(np.float32)
    return _suppress(apart, scores, overlap, of_smaller=of_smaller)
