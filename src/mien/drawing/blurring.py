"""Picture + boxes → picture in which nobody's face can be made out."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mien.results import Box

_CELLS = 6  # across the longer side of a face: the eyes share one or two, and are then blurred into the next
_SMALLEST = 4  # pixels of a cell: small faces get fewer cells
_ACROSS, _DOWN = 1.45, 1.6  # half axes of the ellipse in halves of the box: all of it lies within, hair and chin too
_FEATHER = 0.2  # of the half axes, outside of the ellipse


def blur_faces(pixels: NDArray[np.uint8], boxes: Iterable[Box]) -> NDArray[np.uint8]:
    """Return a copy of a picture, RGB, uint8, shape (height, width, 3), with what is in and about the boxes blurred.

    Each face becomes a few cells, smoothed into each other, in an ellipse that covers the box with hair and chin and
    fades out around it. What is lost in that cannot be brought back.
    """
    blurred = pixels.copy()
    for box in boxes:
        _blur(blurred, box)
    return blurred


def _blur(pixels: NDArray[np.uint8], box: Box) -> None:
    x1, y1, x2, y2 = box
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    half = max(1.0, _ACROSS * (x2 - x1) / 2), max(1.0, _DOWN * (y2 - y1) / 2)
    height, width = pixels.shape[:2]
    ranges = [
        (max(0, math.floor(at - side * (1 + _FEATHER))), min(most, math.ceil(at + side * (1 + _FEATHER))))
        for at, side, most in zip(middle, half, (width, height), strict=True)
    ]
    (left, right), (top, bottom) = ranges
    if right <= left or bottom <= top:
        return
    part = pixels[top:bottom, left:right]
    cell = max(_SMALLEST, max(x2 - x1, y2 - y1) / _CELLS)
    cells = [max(1, round((last - first) / cell)) for first, last in ranges]
    few = Image.fromarray(part).resize((cells[0], cells[1]), Image.Resampling.BOX, reducing_gap=2.0)
    few = few.filter(ImageFilter.GaussianBlur(1.0))
    smooth = np.asarray(few.resize((right - left, bottom - top), Image.Resampling.BICUBIC), np.float32)
    across, down = (
        ((np.arange(first, last, dtype=np.float32) + 0.5 - at) / side) ** 2
        for (first, last), at, side in zip(ranges, middle, half, strict=True)
    )
    distance = np.sqrt(across[None, :] + down[:, None])
    share = np.clip((1 + _FEATHER - distance) / _FEATHER, 0, 1)[..., None]
    part[:] = np.rint(part + share * (smooth - part)).astype(np.uint8)
