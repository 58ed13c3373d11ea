"""The same photograph of a face in two pictures that are framed, scaled and saved differently.

Two detections of one face differ by some hundredths of its size, which is more than a perceptual hash bears, and a
picture of a test set is framed in its own way. So one face is looked at in a grid of frames. The low DCT
coefficients, of which `mien.datasets.duplicates` makes its hash, propose pairs by their correlation; the pixels,
moved onto each other as well as can be, decide by theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.align import FER2013, SquareFrame, crop_square, face_frame
from mien.results import Detection

VIEW = 80
"""Side of a view, in pixels."""
FACE_SIDE = 40
"""Side of what views are compared with, in pixels."""
SAME = 0.96
"""Correlation of the pixels from which on two faces are one photograph.

Of 273 faces of FER2013's that were enlarged, pasted into larger pictures, saved as JPEG and found there, 90% are
known again; of such pictures made smaller by 0.7 and saved again, 97%. Of the other 980,000 pairs among the same
pictures the ten that are above are one photo twice in FER2013, and those just below are two.
"""

Floats = NDArray[np.float32]

_WIDE = 2.0  # side of a view, in sizes of the detector's box
_SCALES = (0.75, 0.84, 0.94, 1.05, 1.18, 1.32, 1.48, 1.65)  # sides of the frames, in the same
_SHIFTS = (-0.1, -0.05, 0.0, 0.05, 0.1)
_FREQUENCIES = 6
_PROPOSED = 0.92  # correlation of the coefficients: a thousandth of the different pairs, nine in ten of the same
_BEGUN = 0.8  # correlation of the pixels, before they are moved, below which no moving helps
_VIEWS, _FACES = 32, 4096  # compared at once, which bounds memory to some hundred MB
_STEPS = (0.04, 0.02, 0.01, 0.005)

_FRAMES = tuple((scale, right, down) for scale in _SCALES for right in _SHIFTS for down in _SHIFTS)


def view(pixels: NDArray[np.uint8], detection: Detection) -> NDArray[np.uint8]:
    """Return a face and what is around it, turned as the picture is: grey, (VIEW, VIEW)."""
    x1, y1, x2, y2 = detection.box
    width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    size = max(width, height) / FER2013.scale if detection.is_crop else math.sqrt(width * height)
    frame = SquareFrame((x1 + x2) / 2, (y1 + y2) / 2, _WIDE * size)
    return np.asarray(Image.fromarray(crop_square(pixels, frame, size=VIEW)).convert("L"))


def upright(one: NDArray[np.uint8], detection: Detection) -> NDArray[np.uint8]:
    """Return a view turned as crops are, so that the eyes are level."""
    turn = face_frame(detection, FER2013).turn
    return np.asarray(Image.fromarray(one).rotate(math.degrees(turn), Image.Resampling.BILINEAR))


def framed(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the face within each of `views` (n, VIEW, VIEW) as sets of faces frame it, (n, FACE_SIDE, FACE_SIDE)."""
    faces = np.empty((len(views), FACE_SIDE, FACE_SIDE), np.uint8)
    for face, one in zip(faces, views, strict=True):
        face[:] = _frame(Image.fromarray(one), (FER2013.scale, 0.0, 0.0))
    return faces


def same_faces(
    views: NDArray[np.uint8], faces: NDArray[np.uint8], *, later: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the index of a view and that of a face, for all that show one photograph.

    Args:
        views: (n, VIEW, VIEW).
        faces: (m, FACE_SIDE, FACE_SIDE).
        later: `faces` are those of `views`, framed: compare each with those after it alone.

    """
    if not len(faces):
        return
    known = _coefficients(faces.astype(np.float32), _basis(FACE_SIDE, 1.0, 1.0, 0.0))
    for start in range(0, len(views), _VIEWS):
        some = _in_frames(views[start : start + _VIEWS])
        proposed = {}
        for first in range(start + 1 if later else 0, len(known), _FACES):
            # few large products: many small ones would wait for each other's threads
            alike = some.reshape(-1, some.shape[2]) @ known[first : first + _FACES].T
            alike = alike.reshape(len(some), len(_FRAMES), -1)
            for i, j in zip(*np.nonzero(alike.max(axis=1) >= _PROPOSED), strict=True):
                proposed[start + int(i), first + int(j)] = _FRAMES[int(alike[i, :, j].argmax())]
        for (i, j), place in sorted(proposed.items()):
            if not (later and j <= i) and _is_same(Image.fromarray(views[i]), faces[j], place):
                yield i, j


def _in_frames(views: NDArray[np.uint8]) -> Floats:
    """Return the coefficients of n views in each frame, (n, len(_FRAMES), _FREQUENCIES ** 2 - 1), of length 1."""
    bases = _bases()
    scales, shifts = len(_SCALES), len(_SHIFTS)
    lines = bases.reshape(-1, VIEW)
    # down all columns at once, then for each scale along its rows
    rows = (lines @ views.astype(np.float32)).reshape(len(views), scales, shifts, _FREQUENCIES, VIEW)
    squares = np.stack(
        [rows[:, s].reshape(-1, VIEW) @ bases[s].reshape(-1, VIEW).T for s in range(scales)],
    ).reshape(scales, len(views), shifts, _FREQUENCIES, shifts, _FREQUENCIES)
    # (scale, view, down, k, right, l) -> (view, scale, right, down, k, l), the order of _FRAMES
    ordered = squares.transpose(1, 0, 4, 2, 3, 5).reshape(len(views), len(_FRAMES), -1)
    return _normalised(ordered[:, :, 1:])


@cache
def _bases() -> Floats:
    """Return the basis of each scale and shift of a view, (scales, shifts, _FREQUENCIES, VIEW)."""
    return np.stack([np.stack([_basis(VIEW, _WIDE, scale, shift) for shift in _SHIFTS]) for scale in _SCALES])


def _coefficients(pictures: Floats, basis: Floats) -> Floats:
    low = np.einsum("ai,nij,bj->nab", basis, pictures, basis, optimize=True)
    return _normalised(low.reshape(len(pictures), -1)[:, 1:])


def _normalised(rows: NDArray[Any]) -> Floats:
    lengths = np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)
    normalised: Floats = (rows / lengths).astype(np.float32)
    return normalised


def _basis(pixels: int, wide: float, scale: float, shift: float) -> Floats:
    """Return the first rows of a cosine transform over a frame on a line, (_FREQUENCIES, pixels).

    The line is `wide` long and cut into `pixels`; the frame is `scale` long, its middle `shift` from the line's.
    """
    edges = (np.arange(pixels + 1) / pixels - 0.5) * wide
    along = np.clip((edges - shift) / scale + 0.5, 0.0, 1.0)
    k = np.pi * np.arange(1, _FREQUENCIES)[:, None]
    integrals = np.concatenate([along[None], np.sin(k * along) / k])
    return np.diff(integrals, axis=1).astype(np.float32)


def _frame(picture: Image.Image, place: tuple[float, float, float]) -> NDArray[np.uint8]:
    scale, right, down = (VIEW / _WIDE * value for value in place)
    x, y, half = VIEW / 2 + right, VIEW / 2 + down, scale / 2
    box = (max(0.0, x - half), max(0.0, y - half), min(float(VIEW), x + half), min(float(VIEW), y + half))
    return np.asarray(picture.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BILINEAR, box=box))


def _is_same(picture: Image.Image, face: NDArray[np.uint8], place: tuple[float, float, float]) -> bool:
    """Move the frame until the pixels agree as well as they do, and say whether that is well enough."""
    wanted = _centred(face)
    best = _correlation(picture, place, wanted)
    if best < _BEGUN:
        return False
    for step in _STEPS:
        moved = True
        while moved and best < SAME:
            moved = False
            for axis in range(3):
                for change in (step, -step):
                    other = [*place]
                    other[axis] += change
                    if not (0.5 < other[0] < 1.8 and max(map(abs, other[1:])) < 0.3):
                        continue
                    found = _correlation(picture, (other[0], other[1], other[2]), wanted)
                    if found > best + 1e-4:
                        place, best, moved = (other[0], other[1], other[2]), found, True
    return best >= SAME


def _correlation(picture: Image.Image, place: tuple[float, float, float], wanted: Floats) -> float:
    return float(_centred(_frame(picture, place)) @ wanted)


def _centred(face: NDArray[np.uint8]) -> Floats:
    values = face.astype(np.float32).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / np.float32(max(length, 1e-6))
