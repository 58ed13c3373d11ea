"""Box → crop: the one place where a face is cut out, with the geometry that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.results import Box, Detection


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the square frame of a crop lies about a detector's box, in units of the box's size.

    The size of a box is the square root of its area, which a turned head changes less than its width
    or height alone. `scripts/derive_geometry.py` measures these numbers on a set of finished crops.

    Attributes:
        scale: side of the frame.
        across: how far the frame's centre lies right of the box's centre.
        down: how far it lies below.

    """

    scale: float
    across: float
    down: float


FER2013 = Geometry(scale=1.08, across=0.0, down=0.0)
"""The frame of FER2013's pictures about MTCNN's boxes."""


def frame_box(box: Box, geometry: Geometry) -> Box:
    """Return the square that `geometry` puts about `box`; it may reach beyond the picture."""
    x1, y1, x2, y2 = box
    size = math.sqrt(max(x2 - x1, 1.0) * max(y2 - y1, 1.0))
    x, y = (x1 + x2) / 2 + geometry.across * size, (y1 + y2) / 2 + geometry.down * size
    half = geometry.scale * size / 2
    return (x - half, y - half, x + half, y + half)


def crop_faces(
    pixels: NDArray[np.uint8],
    detections: Sequence[Detection],
    *,
    size: int,
    geometry: Geometry = FER2013,
    grey: bool = True,
) -> NDArray[np.uint8]:
    """Cut faces out of a picture.

    Args:
        pixels: RGB, shape (height, width, 3).
        detections: n faces. One without a score is a picture that is a face already: its box is
            taken as the frame.
        size: side of the crops, in pixels.
        geometry: of the frame about the box.
        grey: return luma (ITU-R 601) instead of RGB.

    Returns:
        uint8, shape (n, size, size), or (n, size, size, 3) where `grey` is off. What lies beyond the
        border is the picture reflected.

    """
    crops = np.empty((len(detections), size, size) if grey else (len(detections), size, size, 3), np.uint8)
    for i, detection in enumerate(detections):
        frame = detection.box if detection.score is None else frame_box(detection.box, geometry)
        crops[i] = _cut(pixels, frame, size, grey)
    return crops


def _cut(pixels: NDArray[np.uint8], frame: Box, size: int, grey: bool) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = frame
    # the whole pixels that the frame touches, and how many of them lie beyond each border
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    inside = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    beyond = (
        (max(0, -top), max(0, bottom - height)),
        (max(0, -left), max(0, right - width)),
    )
    if 0 in inside.shape:
        return np.zeros((size, size) if grey else (size, size, 3), np.uint8)
    region = Image.fromarray(np.ascontiguousarray(inside))
    if grey:
        region = region.convert("L")
    if any(map(any, beyond)):
        padding = beyond if grey else (*beyond, (0, 0))
        region = Image.fromarray(np.pad(np.asarray(region), padding, mode="symmetric"))
    window = (x1 - left, y1 - top, x2 - left, y2 - top)
    return np.asarray(region.resize((size, size), Image.Resampling.BILINEAR, box=window, reducing_gap=3.0))
