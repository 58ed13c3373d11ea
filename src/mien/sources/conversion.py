"""Decoded frames of a film → upright RGB with square pixels.

The only place where colour matrices, oblong pixels and the turns that phones write down become upright RGB.
"""

from __future__ import annotations

import struct
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mien.results import Frame
from mien.sources.naming import source_error
from mien.sources.opening import check_size, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.buffer import Buffer
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

_UNSPECIFIED = 2  # FFmpeg's numbers: a colour matrix that is not stated, and that of BT.709
_BT709 = 1
_HIGH_DEFINITION = 720  # lines from which on it is by convention that of BT.709, and below that of BT.601
_OBLONGEST = 8  # times as wide as high, or the reverse: what says more is damaged
_KEPT = 32  # as many sizes as any detector asks for


Turn = tuple[bool, bool, bool]
"""Whether to mirror across, to mirror down, and then to exchange across and down."""


class Converter:
    """Makes frames of what is decoded of one film."""

    def __init__(self, aspect: Fraction | None, name: str, max_pixels: int) -> None:
        """Make a converter.

        Args:
            aspect: how many times as wide as high the pixels are.
            name: what to call the film in frames and errors.
            max_pixels: refuse frames of more than so many pixels.

        """
        oblong = aspect is not None and Fraction(1, _OBLONGEST) <= aspect <= _OBLONGEST
        self._aspect = aspect if aspect is not None and oblong else Fraction(1)
        self._name = name
        self._max_pixels = max_pixels
        self._reformatter: VideoReformatter | None = None
        self._turn: tuple[int, Turn] | None = None
        self._reducers: dict[tuple[int, int], VideoReformatter] = {}
        self._guard = threading.Lock()  # frames, and so their reducers, may be handed to other threads

    def check_size(self, width: int, height: int, label: str) -> tuple[int, int]:
        """Return the width and height that a frame of such a size has with square pixels.

        Raises:
            SourceError: it has no pixels, or too many.

        """
        check_size(width, height, label, self._max_pixels)
        if self._aspect > 1:
            width = round(width * self._aspect)
        elif self._aspect < 1:  # so that no line or column is lost
            height = round(height / self._aspect)
        check_size(width, height, label, self._max_pixels)
        return width, height

    def frame(self, decoded: VideoFrame, index: int, time: float, segment: int = 0) -> Frame:
        """Return a decoded frame as a `Frame`, which holds on to it for `reduced`.

        Raises:
            SourceError: it is too large, or of colours that cannot be made RGB.

        """
        from av.error import FFmpegError
        from av.video.reformatter import VideoReformatter

        label = f"{self._name}, frame {index}" if index else self._name
        size = self.check_size(decoded.width, decoded.height, label)
        # To look at the matrix ties the frame into a circle, which only a garbage collection would free, and late:
        # it is looked at again only where the angle, which costs nothing, is another.
        if self._turn is None or self._turn[0] != decoded.rotation:
            self._turn = (decoded.rotation, _turn(decoded))
        turn = self._turn[1]
        if self._reformatter is None:  # one for all: to set one up takes as long as to decode a frame
            self._reformatter = VideoReformatter()
        try:
            pixels = _convert(self._reformatter, decoded, size, "BILINEAR")
        except (FFmpegError, ValueError) as error:
            raise source_error(label, f"its pixels cannot be made RGB ({explain(error)})") from error

        def reduced(width: int, height: int) -> NDArray[np.uint8]:
            stored = (height, width) if turn[2] else (width, height)
            with self._guard:
                reducer = self._reducers.get(stored)
                if reducer is None:
                    if len(self._reducers) >= _KEPT:
                        self._reducers.clear()
                    reducer = self._reducers[stored] = VideoReformatter()
                return _turned(_convert(reducer, decoded, stored, "AREA"), turn)

        return Frame(_turned(pixels, turn), self._name, index, time, reduced, segment)


def _convert(
    reformatter: VideoReformatter, decoded: VideoFrame, size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    unstated = decoded.colorspace == _UNSPECIFIED and not decoded.format.is_rgb
    converted = reformatter.reformat(
        decoded,
        *size,
        format="rgb24",
        src_colorspace=_BT709 if unstated and decoded.height >= _HIGH_DEFINITION else None,
        interpolation=interpolation,
        threads=1,  # more would wait with every frame that is kept, and gain nothing
    )
    return np.asarray(converted.to_ndarray(), np.uint8)


def _turn(decoded: VideoFrame) -> Turn:
    """Return how a frame is to be turned."""
    matrix = cast("Mapping[str, Buffer]", decoded.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return (False, False, False)
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return (b < 0, c < 0, True)
    return (a < 0, d < 0, False)


def _turned(pixels: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    across, down, exchange = turn
    if not (across or down or exchange):
        return pixels
    pixels = pixels[:: -1 if down else 1, :: -1 if across else 1]
    return np.ascontiguousarray(pixels.transpose(1, 0, 2) if exchange else pixels)
