"""Bytes → a picture file that is named by its content."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mien.collect.collection import PICTURES
from mien.collect.failures import FetchError
from mien.errors import SourceError
from mien.sources.opening import HEAD, recognise_picture
from mien.whole import write_whole

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = {  # by what Pillow calls the format
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIF": "heic",
}

_PARTIAL = ".partial"
_NAMED = re.compile(r"[0-9a-f]{64}\.[a-z]+")

_MOST_SCANS = 100
"""Passes over a JPEG. Encoders make some ten; one of 95 bytes takes 0.05 s of a picture of 64 million pixels."""
_SCAN = b"\xff\xda"

REMOVED = "removed"
"""The reason for a picture that someone asked to delete."""

_decoding = threading.Lock()  # one at a time, since a picture at the limit of its pixels takes hundreds of megabytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture file: its path in the collection, with slashes, its sha256, and its size in bytes and in pixels."""

    file: str
    sha256: str
    size: int
    width: int
    height: int


def store_picture(content: bytes, folder: Path, *, max_pixels: int, removed: Container[str] = ()) -> Stored:
    """Write `content` into the collection `folder`, whole or not at all, and return where it is.

    Args:
        content: the bytes of a picture, which are decoded to see that it is whole.
        folder: the collection.
        max_pixels: that it may have.
        removed: sha256 of pictures that may not come back.

    Raises:
        FetchError: it is no whole picture in a format that is accepted, has more than `max_pixels`, or was removed.
        OutputError: it cannot be written.

    """
    form, (width, height) = _recognise(content, max_pixels)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in removed:
        raise FetchError(REMOVED)
    file = f"{PICTURES}/{sha256[:2]}/{sha256}.{_SUFFIXES[form]}"
    path = folder / file
    if not path.exists() or path.stat().st_size != len(content):
        # under a name of its own: the same bytes may be coming from another address at this moment
        write_whole(path, content, partial=path.with_name(f".{path.name}.{uuid4().hex}{_PARTIAL}"))
    return Stored(file, sha256, len(content), width, height)


def remove_partial(folder: Path) -> None:
    """Remove what a run that was ended has left in the middle of writing."""
    for path in (folder / PICTURES).glob(f"*/.*{_PARTIAL}"):
        path.unlink(missing_ok=True)


def remove_pictures(folder: Path, unwanted: Callable[[str], bool]) -> None:
    """Remove the pictures of whose sha256 `unwanted` is true; files with other names are not the collection's."""
    for path in (folder / PICTURES).glob("??/*"):
        if _NAMED.fullmatch(path.name) and unwanted(path.stem):
            path.unlink(missing_ok=True)


def _recognise(content: bytes, max_pixels: int) -> tuple[str, tuple[int, int]]:
    with _opened(content, max_pixels) as image:
        form, size = str(image.format), image.size
        if form in ("JPEG", "MPO") and content.count(_SCAN) > _MOST_SCANS:
            raise FetchError("not a picture", "more scans than any encoder makes")
        try:
            image.verify()  # checksums, which decoding passes over
            with _decoding, _opened(content, max_pixels) as whole:
                whole.draft("L", (1, 1))  # a JPEG is read to its end at an eighth of its size too
                whole.load()
        except Exception as error:  # the decoders' exceptions have no common parent
            raise FetchError("not a picture", "it is damaged") from error
    return form, size


def _opened(content: bytes, max_pixels: int) -> Image.Image:
    try:
        image = recognise_picture(io.BytesIO(content), content[:HEAD], "", max_pixels)
    except SourceError as error:
        if "over the limit" in str(error):
            raise FetchError("too many pixels") from error
        raise FetchError("not a picture", "it is damaged") from error
    if image is None or image.format not in _SUFFIXES:
        raise FetchError("not a picture", "of no format that is known" if image is None else str(image.format))
    return image
