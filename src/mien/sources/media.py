"""Whatever a user can name, opened: a picture, an animated picture, a film, a camera, a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import SourceError
from mien.limits import MAX_FILM_PIXELS, MAX_PIXELS
from mien.results import Frame
from mien.sources.animation import FILMS, read_film
from mien.sources.container import looks_like_a_film, open_file
from mien.sources.folder import FILM_SUFFIXES
from mien.sources.live import open_live
from mien.sources.naming import is_stream, source_error, without_password
from mien.sources.opening import check_size, open_source, recognise_picture
from mien.sources.pixels import decode, decode_array
from mien.sources.segments import Segment
from mien.sources.selection import WHOLE, Selection
from mien.sources.video import Film

FileSource = str | os.PathLike[str] | bytes | bytearray | BufferedIOBase
MediaSource = FileSource | Image.Image | NDArray[Any] | Frame


@dataclass(frozen=True, slots=True)
class Media:
    """An opened source.

    Attributes:
        frames: the selected frames, decoded when they are asked for; they can be gone through once.
        live: frames that nobody takes in time are dropped, and the next is always the newest.
        duration: seconds, where a film states it.
        rate: frames a second on average, where a film states it.

    """

    frames: Generator[Frame, None, None]
    live: bool = False
    duration: float | None = None
    rate: float | None = None


@contextmanager
def open_media(
    source: MediaSource,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    selection: Selection = WHOLE,
    threads: int | None = None,
) -> Iterator[Media]:
    """Open `source` for as long as the context lasts.

    A str that `is_stream` is a camera or a stream. What a file is, its content says: a picture, an animated
    picture (GIF, WebP, PNG, AVIF), or a film in any format of `mien.sources.container.FORMATS`. A film's times count
    from its beginning, by its own timestamps; the numbers of its frames do too, also where `selection` has a start.

    Args:
        source: a path, or the name of a camera or stream; the bytes of a file; a file that is open, at its beginning;
            a Pillow image; an array, RGB, RGBA or grey, uint8 (or uint16 where it is grey), shape (height, width[,
            channels]); a Frame.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse frames of more than so many pixels; where it is `MAX_PIXELS`, those of films of more than
            `MAX_FILM_PIXELS`.
        selection: which frames of a film to look at; still pictures are always looked at.
        threads: how many to decode a film with; None is one for each core.

    Raises:
        SourceError: it cannot be opened; or from `Media.frames`: it is damaged (after the frames that are whole), a
            frame is too large, nothing is selected. The message names it.

    """
    with ExitStack() as stack:
        media = _open(source, name, max_pixels, selection, threads, stack)
        stack.enter_context(closing(media.frames))
        yield media


def find_segments(
    source: FileSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS, selection: Selection = WHOLE
) -> list[Segment]:
    """Return the parts of a film that can be read each on its own, by `open_segment`; none where there are not two.

    So it is for pictures, animated ones, and films whose frames cannot be counted and found without decoding them.
    The film is read to its end, and nothing is decoded.

    Args:
        source: a path, the bytes of a file, or an open file.
        name: as in `open_media`.
        max_pixels: as in `open_media`.
        selection: as in `open_media`.

    Raises:
        SourceError: it cannot be opened.

    """
    with ExitStack() as stack:
        film = _recognised(source, name or _kind(source), max_pixels, None, stack)
        return film.segments(selection) if isinstance(film, Film) else []


@contextmanager
def open_segment(
    source: FileSource,
    segment: Segment,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    selection: Selection = WHOLE,
    threads: int | None = None,
) -> Iterator[tuple[Film, Generator[Frame, None, None]]]:
    """Open a film for as long as the context lasts: it, and the selected frames of one of its `find_segments`.

    Raises:
        SourceError: as in `open_media`, except that what concerns the whole film is told by the attributes of `Film`.

    """
    with ExitStack() as stack:
        name = name or _kind(source)
        film = _recognised(source, name, max_pixels, threads, stack)
        if not isinstance(film, Film):
            raise source_error(name, "it was a film before, and is one no more")
        yield film, stack.enter_context(closing(film.frames(selection, segment)))


def _open(
    source: MediaSource,
    name: str | None,
    max_pixels: int,
    selection: Selection,
    threads: int | None,
    stack: ExitStack,
) -> Media:
    if isinstance(source, Frame):
        name = name or source.source
        if source.pixels.dtype != np.uint8 or source.pixels.ndim != 3 or source.pixels.shape[2] != 3:
            raise source_error(name, "the pixels of a Frame are RGB, uint8, (height, width, 3)")
        frame = source if name == source.source else replace(source, source=name)
        return Media(_still(lambda: frame))
    if isinstance(source, np.ndarray):
        name = name or "<array>"
        frame = Frame(decode_array(source, name, max_pixels), name)
        return Media(_still(lambda: frame))
    if isinstance(source, Image.Image):
        name = name or "<image>"
        check_size(*source.size, name, max_pixels)
        return Media(_still(lambda: Frame(decode(source, name), name)))
    if isinstance(source, str | os.PathLike | bytes | bytearray | BufferedIOBase):
        return _open_file(source, name, max_pixels, selection, threads, stack)
    raise SourceError(f"a {type(source).__name__} is not a picture: pass a path, bytes, a Pillow image or an array")


def _still(make: Callable[[], Frame]) -> Generator[Frame, None, None]:
    yield make()


def _open_file(
    source: FileSource,
    name: str | None,
    max_pixels: int,
    selection: Selection,
    threads: int | None,
    stack: ExitStack,
) -> Media:
    if isinstance(source, str) and is_stream(source):
        stream = stack.enter_context(closing(open_live(source, name or without_password(source), max_pixels)))
        return Media(stream.frames(selection), stream.live, stream.duration, stream.rate)
    name = name or _kind(source)
    found = _recognised(source, name, max_pixels, threads, stack)
    if isinstance(found, Film):
        return Media(found.frames(selection), False, found.duration, found.rate)
    if found.format in FILMS:
        return Media(read_film(found, name, max_pixels, selection))
    return Media(_still(lambda: Frame(decode(found, name), name)))


def _kind(source: FileSource) -> str:
    """Return what to call a source that has no other name."""
    if isinstance(source, bytes | bytearray):
        return "<bytes>"
    return "<file>" if isinstance(source, BufferedIOBase) else os.fspath(source)


def _recognised(
    source: FileSource, name: str, max_pixels: int, threads: int | None, stack: ExitStack
) -> Image.Image | Film:
    """Open what a file holds, until `stack` is closed."""
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    path = name if isinstance(source, BufferedIOBase) else path
    file, head = stack.enter_context(open_source(source, name))
    image = recognise_picture(file, head, name, max_pixels)
    if image is not None:
        return stack.enter_context(image)
    known = looks_like_a_film(head)
    if not known and (path is None or PurePath(path).suffix.lower() not in FILM_SUFFIXES):
        raise source_error(name, "neither a picture nor a film, or of a format that cannot be read here")
    most = MAX_FILM_PIXELS if max_pixels == MAX_PIXELS else max_pixels
    film = Film(lambda: open_file(file, name, known=known, max_pixels=most), name, most, threads=threads)
    return stack.enter_context(closing(film))
