"""A picture at many sizes: where a detector looks, and where it cuts out what it wants to see closer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.results import Frame

Floats = NDArray[np.float32]

_BAND = 128  # rows, an even number
_MARGIN = 2  # pixels about a square that take part where its crop is larger than itself
_SHARP = 1.4  # pixels of a square for each pixel across its crop: with 1.0, one face in a hundred is lost


class Pyramid:
    """A picture, made smaller level by level.

    Attributes:
        levels: from the largest to the smallest; the picture itself is not among them.

    """

    def __init__(self, frame: Frame, sizes: Sequence[tuple[int, int]] = ()) -> None:
        """Build the levels.

        Args:
            frame: the picture.
            sizes: width and height of the levels to begin with, the largest first; `grow` adds others.

        """
        self._frame = frame
        self._size = (frame.width, frame.height)
        self._picture: Image.Image | None = None  # a copy in Pillow's form, where a level needs all of it
        self._steps: list[Image.Image] = []  # between the picture and its first level, none half the one before
        self.levels: list[Image.Image] = []
        for size in sizes:
            self.grow(*size)

    def grow(self, width: int, height: int) -> Image.Image:
        """Add a level, smaller than those there are, and return it."""
        self.levels.append(self._shrunk((width, height)))
        return self.levels[-1]

    def _shrunk(self, size: tuple[int, int]) -> Image.Image:
        """Return the next level: made from the one before, which is nearly as sharp and much smaller."""
        if not self.levels and self._frame.reduced is not None and size[0] < self._frame.width:
            return Image.fromarray(self._frame.reduced(*size))
        if self.levels:
            source = self.levels[-1]
        elif self._frame.width > 2 * size[0]:
            source = _halved(self._frame.pixels)
            self._steps.append(source)
        else:
            source = self._picture = Image.fromarray(self._frame.pixels)
        while not self.levels and source.width > 2 * size[0]:
            source = source.reduce(2)
            self._steps.append(source)
        # The gap lets Pillow average whole pixels where that alone halves the picture, four times as fast.
        return source.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)

    def cut(self, squares: Floats, side: int) -> NDArray[np.uint8]:
        """Return `squares` (n, 4), in pixels of the picture, as crops; what lies beyond its border is black.

        Each comes from the smallest source that is sharp enough, so that a large square costs no more than
        a small one.

        Args:
            squares: each with a side above 0; they may reach beyond the picture.
            side: of the crops, in pixels.

        Returns:
            uint8, shape (n, side, side, 3).

        """
        smaller = [*self._steps, *self.levels]
        zooms = np.array([self._size, *(source.size for source in smaller)]) / self._size
        sides = squares[:, 2:] - squares[:, :2]
        sharp_enough = (sides[:, :1] * zooms[:, 0] >= _SHARP * side).sum(axis=1)
        chosen = np.maximum(sharp_enough - 1, 0)
        places = squares * np.tile(zooms, 2)[chosen]
        sheet = Image.new("RGB", (side, side * len(squares)))  # to take all crops over to numpy at once
        for i, (level, place) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
            source = smaller[level - 1] if level else self._picture
            crop = _cut_pixels(self._frame.pixels, place, side) if source is None else _cut(source, place, side)
            sheet.paste(crop, (0, i * side))
        return np.asarray(sheet).reshape(len(squares), side, side, 3)


def _halved(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return a picture at half its size, made in bands: a copy of the whole in Pillow's form would take as long."""
    height, width = pixels.shape[:2]
    half = Image.new("RGB", ((width + 1) // 2, (height + 1) // 2))
    for top in range(0, height, _BAND):
        half.paste(Image.fromarray(pixels[top : top + _BAND]).reduce(2), (0, top // 2))
    return half


def _cut_pixels(pixels: NDArray[np.uint8], square: Sequence[float], side: int) -> Image.Image:
    """Return what `_cut` does of the whole picture, of which Pillow copies only what is about the square."""
    left, top = (max(0, math.floor(edge) - _MARGIN) for edge in square[:2])
    right, bottom = (math.ceil(edge) + _MARGIN for edge in square[2:])
    region = np.ascontiguousarray(pixels[top : max(top, bottom), left : max(left, right)])
    if not region.size:
        return Image.new("RGB", (side, side))
    x1, y1, x2, y2 = square
    return _cut(Image.fromarray(region), (x1 - left, y1 - top, x2 - left, y2 - top), side)


def _cut(picture: Image.Image, square: Sequence[float], side: int) -> Image.Image:
    x1, y1, x2, y2 = square
    if x1 < 0 or y1 < 0 or x2 > picture.width or y2 > picture.height:
        left, top = math.floor(x1), math.floor(y1)
        picture = picture.crop((left, top, math.ceil(x2), math.ceil(y2)))
        x1, y1, x2, y2 = x1 - left, y1 - top, x2 - left, y2 - top
    # Plain averages let the networks find three more of 500 faces than Pillow's wider bilinear filter does, and
    # see fewer in hair and cloth. What is enlarged to more than twice its size they would cut into tiles.
    resampling = Image.Resampling.BOX if x2 - x1 >= side / 2 else Image.Resampling.BILINEAR
    return picture.resize((side, side), resampling, box=(x1, y1, x2, y2))
