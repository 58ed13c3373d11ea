"""One picture, still or moving, from a path, bytes, a Pillow image or an array → its frames."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import SourceError
from mien.results import Frame
from mien.sources.animation import FILMS, read_film
from mien.sources.naming import source_error
from mien.sources.opening import MAX_PIXELS, check_size, open_picture
from mien.sources.pixels import decode, decode_array

PictureSource = str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[Any] | Frame


def read_picture(source: PictureSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Frame:
    """Return `source` as a frame: of an animated picture, its first.

    Args:
        source: a path; the bytes of a file; a Pillow image; an array, RGB, RGBA or grey, uint8 (or
            uint16 where it is grey), shape (height, width[, channels]); a Frame is returned as it is.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse pictures of more than so many pixels.

    Raises:
        SourceError: it is not there, not a picture, damaged, or too large; the message names it.

    """
    with closing(read_frames(source, name=name, max_pixels=max_pixels)) as frames:
        return next(frames)


def read_frames(
    source: PictureSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Generator[Frame, None, None]:
    """Yield the frames of `source`, decoded one at a time, so that memory does not grow with their number.

    A GIF, WebP, PNG or AVIF that moves is a film. The time of its frames is the sum of the durations that the
    file states for those before; as in browsers, one of 10 ms or less counts as 100 ms. All else is one frame
    without a time: also a TIFF with several pages (the first), a HEIC with several pictures (the one it calls
    primary), and a Pillow image (the frame it stands at, since going through them would change it).

    Args:
        source: as in `read_picture`.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse frames of more than so many pixels.

    Raises:
        SourceError: as in `read_picture`; where a film breaks off, after the frames that are whole. The message
            names the frame, counted from 0.

    """
    if isinstance(source, Frame):
        name = name or source.source
        if source.pixels.dtype != np.uint8 or source.pixels.ndim != 3 or source.pixels.shape[2] != 3:
            raise source_error(name, "the pixels of a Frame are RGB, uint8, (height, width, 3)")
        yield source if name == source.source else replace(source, source=name)
    elif isinstance(source, np.ndarray):
        name = name or "<array>"
        yield Frame(decode_array(source, name, max_pixels), name)
    elif isinstance(source, Image.Image):
        name = name or "<image>"
        check_size(*source.size, name, max_pixels)
        yield Frame(decode(source, name), name)
    elif isinstance(source, str | os.PathLike | bytes | bytearray):
        name = name or ("<bytes>" if isinstance(source, bytes | bytearray) else os.fspath(source))
        with open_picture(source, name, max_pixels) as image:
            if image.format in FILMS:
                yield from read_film(image, name, max_pixels)
            else:
                yield Frame(decode(image, name), name)
    else:
        raise SourceError(
            f"a {type(source).__name__} is not a picture: pass a path, bytes, a Pillow image or an array"
        )
