"""What changes in a film besides the faces that are known: somebody comes in, or the scene is another."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mien.results import Box

_COLUMNS, _ROWS = 32, 18
# In levels of 0 to 255. Within takes of people talking and walking, neighbouring frames differ by 6 at most.
_CUT = 10.0
_CHANGED = 20.0
_SHARE = 0.04  # of the picture, about what the nearest face and shoulders take that one would not want to miss


Thumbnail = NDArray[np.uint8]
"""The light of a whole picture in a few hundred cells, shape (rows, columns)."""


class Change(Enum):
    """What has happened since the frame before."""

    NONE = "no more than the known faces do"
    SOME = "something elsewhere"
    CUT = "another scene"


class Scene:
    """Compares each frame with the one before, and with the one that was last looked at whole, as thumbnails."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._known: NDArray[np.float32] | None = None

    def look(self, pixels: NDArray[np.uint8], faces: Sequence[Box]) -> Change:
        """Return what is new in a picture, RGB (height, width, 3), apart from where `faces` are, and below them."""
        before, self._last = self._last, _thumbnail(pixels)
        if before is None or self._known is None or float(np.abs(self._last - before).mean()) > _CUT:
            return Change.CUT
        changed = np.abs(self._last - self._known) > _CHANGED
        across, down = _COLUMNS / pixels.shape[1], _ROWS / pixels.shape[0]
        for x1, y1, x2, y2 in faces:
            around, above = (x2 - x1) * across, (y2 - y1) * down / 2
            left, right = max(0, int(x1 * across - around)), max(0, int(x2 * across + around) + 1)
            changed[max(0, int(y1 * down - above)) :, left:right] = False
        return Change.SOME if changed.mean() > _SHARE else Change.NONE

    @property
    def last(self) -> Thumbnail:
        """The last picture."""
        assert self._last is not None
        return np.rint(self._last).astype(np.uint8)

    def looked(self) -> None:
        """Take the last picture as known whole."""
        self._known = self._last


def is_cut(before: Thumbnail, after: Thumbnail) -> bool:
    """Say whether another scene lies between two neighbouring frames."""
    return float(np.abs(after.astype(np.float32) - before).mean()) > _CUT


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a grey picture of fixed size: samples, four to a cell, which is all that a change of scene takes."""
    rows = ((np.arange(2 * _ROWS) + 0.5) * pixels.shape[0] / (2 * _ROWS)).astype(np.intp)
    columns = ((np.arange(2 * _COLUMNS) + 0.5) * pixels.shape[1] / (2 * _COLUMNS)).astype(np.intp)
    samples = pixels[np.ix_(rows, columns)].mean(axis=2, dtype=np.float32)
    cells: NDArray[np.float32] = samples.reshape(_ROWS, 2, _COLUMNS, 2).mean(axis=(1, 3))
    return cells
