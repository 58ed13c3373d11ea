"""A picture at many sizes: where a detector looks, and where it cuts out what it wants to see closer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

_SHARP = 1.4  # pixels of a square for each pixel across its crop: with 1.0, one face in a hundred is lost


class Pyramid:
    """A picture, made smaller level by level.

    Attributes:
        levels: from the largest to the smallest; the picture itself is not among them.

    """

    def __init__(self, pixels: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> None:
        """Build the levels.

        Args:
            pixels: RGB, shape (height, width, 3).
            sizes: width and height of each level, the largest first.

        """
        picture = Image.fromarray(pixels)
        self._size = picture.size
        self._sources = [picture]  # what to cut from: the levels, and steps of no more than 2 down to the first
        while sizes and self._sources[-1].width > 2 * sizes[0][0]:
            self._sources.append(self._sources[-1].reduce(2))
        self.levels: list[Image.Image] = []
        for size in sizes:
            # Each is made from the one before, which is nearly as sharp and much smaller. The gap lets Pillow
            # average whole pixels where that alone halves the picture, four times as fast.
            level = self._sources[-1].resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
            self.levels.append(level)
            self._sources.append(level)

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
        zooms = np.array([source.size for source in self._sources]) / self._size
        sides = squares[:, 2:] - squares[:, :2]
        sharp_enough = (sides[:, :1] * zooms[:, 0] >= _SHARP * side).sum(axis=1)
        chosen = np.maximum(sharp_enough - 1, 0)
        places = squares * np.tile(zooms, 2)[chosen]
        sheet = Image.new("RGB", (side, side * len(squares)))  # to take all crops over to numpy at once
        for i, (level, place) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
            sheet.paste(_cut(self._sources[level], place, side), (0, i * side))
        return np.asarray(sheet).reshape(len(squares), side, side, 3)


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
