"""Paths and bytes → opened files, and Pillow images whose size is known and allowed; no pixel is decoded yet."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import BinaryIO, cast

from PIL import Image, UnidentifiedImageError

from mien.errors import MissingExtraError
from mien.sources.naming import source_error
from mien.sources.tags import bound_tags

MAX_BYTES = 1 << 30
"""What comes from a pipe is read to its end before it is decoded, up to so much."""

# What cameras, phones, scanners and web pages make. Pillow knows more: some of them, such as PostScript,
# it hands to other programs, which is nothing to do with a file of unknown origin.
_FORMATS = {
    "JPEG": "JpegImagePlugin",
    "MPO": "MpoImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
}

# What a file of the ISO base media format says it is, in the box it begins with.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_SHARED_BRANDS = frozenset({b"mif1", b"msf1"})  # of HEIC and AVIF alike
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

HEAD = 1024
"""Bytes at the beginning of a file by which it is known."""

GIF_PIXELS = 100_000_000
"""Pillow makes room for a GIF's frame before its size can be seen: for up to twice so many pixels."""

_WEIGHTS = {"AVIF": 1.5, "WEBP": 2.5, "JPEG2000": 4}
"""How many pixels one counts for in formats whose decoders take so many times the memory, or the time, of others."""

_PASSES = 50
"""Over a JPEG, from coarse to fine. Encoders make a dozen; each takes as long as a picture, and few bytes."""

_PIECE = 1 << 20

_pillow_guard = threading.RLock()
if hasattr(os, "register_at_fork"):  # a fork waits: it would have the lock of a thread that it lacks, and its limit
    os.register_at_fork(
        before=_pillow_guard.acquire, after_in_parent=_pillow_guard.release, after_in_child=_pillow_guard.release
    )


@contextmanager
def open_source(
    source: str | os.PathLike[str] | bytes | bytearray | io.BufferedIOBase, name: str
) -> Iterator[tuple[BinaryIO, bytes]]:
    """Open a file, or bytes in its place, for as long as the context lasts: a stream that can seek, and its head.

    A file that is open already is taken at its beginning, and closed in the end.

    Raises:
        SourceError: it is not there, cannot be read, or is empty.

    """
    with _opened(source, name) as file:
        try:
            stream = file if file.seekable() else io.BytesIO(read_pipe(file, name))
            head = stream.read(HEAD)
            stream.seek(0)
        except OSError as error:
            raise source_error(name, f"cannot be read ({error.strerror or error})") from error
        if not head:
            raise source_error(name, "the file is empty")
        yield stream, head


def _opened(source: str | os.PathLike[str] | bytes | bytearray | io.BufferedIOBase, name: str) -> BinaryIO:
    if isinstance(source, bytes | bytearray):
        return io.BytesIO(source)
    return cast("BinaryIO", source) if isinstance(source, io.BufferedIOBase) else _open_path(source, name)


def _open_path(source: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        if os.path.isdir(source):
            readable = os.access(source, os.R_OK | os.X_OK)
            raise source_error(name, "it is a folder, not a picture or film" if readable else "cannot be read")
        return open(source, "rb")
    except FileNotFoundError as error:
        dangling = os.path.islink(source)
        reason = "a link to what is not there" if dangling else "there is no such file or folder"
        raise source_error(name, reason) from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise source_error(name, f"cannot be opened ({reason})") from error


def read_pipe(stream: BinaryIO, name: str) -> bytes:
    """Return all that comes from `stream`.

    Raises:
        SourceError: it is more than `MAX_BYTES`.

    """
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise source_error(name, f"more than {MAX_BYTES} bytes came; save them to a file first")
    return content


def recognise_picture(stream: BinaryIO, head: bytes, name: str, max_pixels: int) -> Image.Image | None:
    """Return the picture that `stream`, which begins with `head`, holds; None where it is not known to be one.

    Raises:
        SourceError: it is damaged at its beginning, or too large.

    """
    bound_tags()
    heic = _is_heic(head)
    if heic:
        _learn_heic(name)
    limit = max(max_pixels, GIF_PIXELS) if head.startswith(b"GIF8") else None
    try:
        with pillows_limit(limit):
            image = Image.open(stream, formats=("HEIF",) if heic else _known_formats())
    except UnidentifiedImageError as error:
        if heic or head[8:12] in _AVIF_BRANDS:  # Pillow says of these that it does not know them, damaged or not
            reason = "the picture is damaged, or coded in a way that cannot be read here"
            raise source_error(name, reason) from error
        return None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise source_error(name, _too_large("the picture is", max_pixels)) from error
    except Exception as error:  # decoders raise what they like on damaged headers
        raise source_error(name, f"the picture is damaged ({explain(error)})") from error
    try:
        check_size(*image.size, name, max_pixels, weight=_weight(image))
        if image.format in ("JPEG", "MPO"):
            _check_passes(stream, name)
    except BaseException:
        image.close()
        raise
    return image


def counted_pixels(image: Image.Image) -> int:
    """Return how many pixels an opened picture counts for: more than it has, where decoding it takes more."""
    return round(image.width * image.height * _weight(image))


def _weight(image: Image.Image) -> float:
    return _WEIGHTS.get(image.format or "", 1)


def _is_heic(head: bytes) -> bool:
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    compatible = {head[i : i + 4] for i in range(16, end, 4)}
    return head[8:12] in _HEIC_BRANDS or (head[8:12] in _SHARED_BRANDS and not compatible & _AVIF_BRANDS)


def _learn_heic(name: str) -> None:
    if "HEIF" in Image.OPEN:
        return
    try:
        # by its name only, so that types are checked alike whether it is installed or not
        import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise source_error(name, str(MissingExtraError("reading HEIC pictures", "heic"))) from error


@cache
def _known_formats() -> tuple[str, ...]:
    for (
        module
    ) in _FORMATS.values():  # these and not all that Pillow has, which takes as long as to read some pictures
        with suppress(ImportError):
            import_module(f"PIL.{module}")
    return tuple(form for form in _FORMATS if form in Image.OPEN)


@contextmanager
def pillows_limit(pixels: int | None) -> Iterator[None]:
    """Put `pixels` in place of Pillow's own limit while a header is read, or lift it: `max_pixels` can be raised."""
    with _pillow_guard:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def check_size(width: int, height: int, name: str, max_pixels: int, *, weight: float = 1) -> None:
    """Refuse pictures that have no pixels or too many; each counts for `weight`.

    Raises:
        SourceError: this is one.

    """
    if min(width, height) < 1:
        raise source_error(name, "the picture has no pixels")
    if width * height * weight > max_pixels:
        counted = f", each of which counts for {weight} in this format" if weight > 1 else ""
        size = f"{width}x{height} is {width * height / 1e6:.0f} million pixels{counted},"
        raise source_error(name, _too_large(size, max_pixels))


def _check_passes(stream: BinaryIO, name: str) -> None:
    """Refuse a JPEG that would be decoded over and over again; `stream` stands where it stood.

    Raises:
        SourceError: this is one.

    """
    passes, last, place = 0, b"", stream.tell()
    stream.seek(0)
    while piece := stream.read(_PIECE):
        passes += (last + piece).count(b"\xff\xda")  # in what is coded, another byte follows upon 255
        last = piece[-1:]
    stream.seek(place)
    if passes > _PASSES:
        raise source_error(
            name, f"it is coded in {passes} passes, and more than {_PASSES} are not taken; save it anew"
        )


def _too_large(what: str, max_pixels: int) -> str:
    return (
        f"{what} over the limit of {max_pixels / 1e6:g} million pixels; "
        "raise it by --max-pixels (max_pixels=) if you trust the file"
    )


def explain(error: Exception) -> str:
    """Return what `error` says, or its kind where it says nothing."""
    return str(error).strip() or type(error).__name__
