"""One picture, from a path, bytes, a Pillow image or an array → a Frame.

The only place where pictures are decoded and where grey, transparency, 16 bits, palettes, CMYK and
EXIF orientation become upright RGB.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mien.errors import SourceError
from mien.results import Frame

PictureSource = str | Path | bytes | bytearray | Image.Image | NDArray[Any] | Frame
MAX_PIXELS = 80_000_000
"""A picture with more pixels is refused unless the limit is raised: decoding takes some ten bytes a pixel."""

MAX_BYTES = 1 << 30
"""What comes from a pipe is read to its end before it is decoded, up to so much."""

# What cameras, phones, scanners and web pages make. Pillow knows more: some of them, such as PostScript,
# it hands to other programs, which is nothing to do with a file of unknown origin.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "HEIF")

_BACKGROUND = (255, 255, 255)  # shows through where a picture is transparent, as on most pages
_pillow_guard = threading.Lock()


def read_picture(source: PictureSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Frame:
    """Return `source` as a frame.

    Args:
        source: a path; the bytes of a file; a Pillow image; an array, RGB, RGBA or grey, uint8 (or
            uint16 where it is grey), shape (height, width[, channels]); a Frame is returned as it is.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse pictures of more than so many pixels.

    Raises:
        SourceError: it is not there, not a picture, damaged, or too large; the message names it.

    """
    if isinstance(source, Frame):
        return source if name is None else replace(source, source=name)
    if isinstance(source, np.ndarray):
        name = name or "<array>"
        return Frame(_to_rgb(_from_array(source, name, max_pixels), name), name)
    if isinstance(source, Image.Image):
        name = name or "<image>"
        _check_size(source, name, max_pixels)
        return Frame(_decode(source, name), name)
    if isinstance(source, bytes | bytearray):
        name = name or "<bytes>"
        return _read_stream(io.BytesIO(source), name, max_pixels)
    if not isinstance(source, str | Path):
        raise SourceError(
            f"a {type(source).__name__} is not a picture: pass a path, bytes, a Pillow image or an array"
        )
    name = name or str(source)
    try:
        if os.path.isdir(source):
            readable = os.access(source, os.R_OK | os.X_OK)
            raise SourceError(f"{name}: it is a folder, not a picture" if readable else f"{name}: cannot be read")
        with Path(source).open("rb") as stream:
            return _read_stream(stream, name, max_pixels)
    except FileNotFoundError as error:
        raise SourceError(f"{name}: there is no such file or folder") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SourceError(f"{name}: cannot be opened ({reason})") from error


def _read_stream(stream: BinaryIO, name: str, max_pixels: int) -> Frame:
    if not stream.seekable():
        stream = io.BytesIO(read_pipe(stream, name))
    if not stream.read(1):
        raise SourceError(f"{name}: the file is empty")
    stream.seek(0)
    try:
        with _without_pillows_limit():
            image = Image.open(stream, formats=_known_formats())
    except UnidentifiedImageError as error:
        raise SourceError(f"{name}: not a picture, or of a format that cannot be read here") from error
    except Exception as error:  # decoders raise what they like on damaged headers
        raise SourceError(f"{name}: the picture is damaged ({error})") from error
    with image:
        _check_size(image, name, max_pixels)
        return Frame(_decode(image, name), name)


def read_pipe(stream: BinaryIO, name: str) -> bytes:
    """Return all that comes from `stream`.

    Raises:
        SourceError: it is more than `MAX_BYTES`.

    """
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SourceError(f"{name}: more than {MAX_BYTES} bytes came; a picture is smaller")
    return content


@cache
def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(form for form in _FORMATS if form in Image.OPEN)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's own limit while a header is read: `max_pixels` takes its place, and can be raised."""
    with _pillow_guard:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    if min(image.size) < 1:
        raise SourceError(f"{name}: the picture has no pixels")
    if image.width * image.height > max_pixels:
        raise SourceError(
            f"{name}: {image.width}x{image.height} is {image.width * image.height / 1e6:.0f} million pixels, "
            f"over the limit of {max_pixels / 1e6:g}; raise it by --max-pixels (max_pixels=) if you trust the file"
        )


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        image.load()
    except Exception as error:  # as above: the decoders' exceptions have no common parent
        raise SourceError(f"{name}: the picture is cut short or damaged ({error})") from error
    with suppress(Exception):  # a broken EXIF block says nothing about the pixels
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    return _to_rgb(image, name)


def _to_rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    # 32 bits a pixel have no agreed range; only from the portable formats are they 16 bits in disguise
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise SourceError(f"{name}: its pixels are numbers of 32 bits, of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, _BACKGROUND)
        image.paste(layer, mask=layer.getchannel("A"))
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _from_array(array: NDArray[Any], name: str, max_pixels: int) -> Image.Image:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if not grey and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise SourceError(f"{name}: its shape is {array.shape}, not (height, width), (…, 3) RGB or (…, 4) RGBA")
    if array.dtype != np.uint8 and not (grey and array.dtype == np.uint16):
        raise SourceError(f"{name}: its type is {array.dtype}, not uint8 with values 0 to 255; convert it first")
    if array.size == 0:
        raise SourceError(f"{name}: the picture has no pixels")
    image = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if grey and array.ndim == 3 else array))
    _check_size(image, name, max_pixels)
    return image
