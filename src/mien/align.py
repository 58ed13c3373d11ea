"""Box + landmarks → crop: the one place where a face is cut out, with the geometry that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.results import Detection

_FURTHEST = 4  # times the picture's longer side that a frame may have: one of a box gone wild could fill the memory


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
"""The frame of FER2013's pictures about MTCNN's boxes.

Medians (and quartiles) over 3,423 faces found in 4,000 pictures of its training split: scale 1.079 (0.986 to
1.182), across 0.015 (-0.022 to 0.053), down -0.001 (-0.034 to 0.035). Left and right are alike in training,
where every picture is mirrored at random, so `across` is taken as 0.
"""


@dataclass(frozen=True, slots=True)
class SquareFrame:
    """A square on a picture: its centre and side in pixels, and its clockwise turn in radians."""

    x: float
    y: float
    side: float
    turn: float = 0.0


def face_frame(detection: Detection, geometry: Geometry) -> SquareFrame:
    """Return the frame that `geometry` puts about a face; it may reach beyond the picture.

    It turns with the line between the eyes, so that a tilted head stands upright in its crop. Of a box
    that is a crop already, the longer side is the frame's.
    """
    x1, y1, x2, y2 = detection.box
    x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    if detection.is_crop:
        return SquareFrame(x, y, max(width, height))
    size = math.sqrt(width * height)
    turn = 0.0
    if detection.landmarks is not None:
        left_eye, right_eye = detection.landmarks[:2]
        turn = math.atan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0])
    across, down = geometry.across * size, geometry.down * size
    x += across * math.cos(turn) - down * math.sin(turn)
    y += across * math.sin(turn) + down * math.cos(turn)
    return SquareFrame(x, y, geometry.scale * size, turn)


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
        detections: n faces.
        size: side of the crops, in pixels.
        geometry: of the frame about the box.
        grey: return luma (ITU-R 601) instead of RGB.

    Returns:
        uint8, shape (n, size, size), or (n, size, size, 3) where `grey` is off. What lies beyond the
        border is the picture reflected.
    """
    crops = np.empty((len(detections), size, size) if grey else (len(detections), size, size, 3), np.uint8)
    for i, detection in enumerate(detections):
        crops[i] = np.asarray(_cut(pixels, face_frame(detection, geometry), size, grey))
    return crops


def crop_square(pixels: NDArray[np.uint8], frame: SquareFrame, *, size: int) -> NDArray[np.uint8]:
    """Return what lies in one square of a picture, in colour, shape (size, size, 3); see `crop_faces`."""
    return np.asarray(_cut(pixels, frame, size, grey=False))


def _cut(pixels: NDArray[np.uint8], frame: SquareFrame, size: int, grey: bool) -> Image.Image:
    if frame.turn == 0.0:
        return _cut_upright(pixels, frame, size, grey)
    # Shrink the upright square around the turned one to twice the wanted size, turn that, and halve it:
    # shrinking averages all pixels, and turning at twice the size costs no sharpness.
    cosine, sine = math.cos(frame.turn), math.sin(frame.turn)
    spread = abs(cosine) + abs(sine)
    around = math.ceil(2 * size * spread)
    upright = _cut_upright(pixels, SquareFrame(frame.x, frame.y, frame.side * spread), around, grey)
    zoom = around / (2 * size * spread)
    a, b = cosine * zoom, sine * zoom
    matrix = (a, -b, around / 2 - size * (a - b), b, a, around / 2 - size * (b + a))
    turned = upright.transform((2 * size, 2 * size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return turned.resize((size, size), Image.Resampling.BOX)


def _cut_upright(pixels: NDArray[np.uint8], frame: SquareFrame, size: int, grey: bool) -> Image.Image:
    height, width = pixels.shape[:2]
    side = min(frame.side, float(_FURTHEST * max(height, width)))
    x1, y1 = frame.x - side / 2, frame.y - side / 2
    x2, y2 = x1 + side, y1 + side
    # the whole pixels that the frame touches, and how many of them lie beyond each border
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    inside = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    beyond = (
        (max(0, -top), max(0, bottom - height)),
        (max(0, -left), max(0, right - width)),
    )
    if 0 in inside.shape:
        return Image.new("L" if grey else "RGB", (size, size))
    region = Image.fromarray(np.ascontiguousarray(inside))
    if grey:
        region = region.convert("L")
    if any(map(any, beyond)):
        padding = beyond if grey else (*beyond, (0, 0))
        region = Image.fromarray(np.pad(np.asarray(region), padding, mode="symmetric"))
    window = (x1 - left, y1 - top, x2 - left, y2 - top)
    return region.resize((size, size), Image.Resampling.BILINEAR, box=window, reducing_gap=3.0)
