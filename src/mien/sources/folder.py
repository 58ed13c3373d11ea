"""The pictures and films in a folder."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mien.sources.naming import source_error

SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
"""Of pictures."""

FILM_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".ivf", ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)

_ALL = SUFFIXES | FILM_SUFFIXES
_HELD = 1 << 16  # names


def _is_code(path: Path) -> bool:
    """Say whether a file called like a transport stream, .ts, is something else: most often TypeScript."""
    if path.suffix.lower() != ".ts":
        return False
    try:
        with path.open("rb") as file:
            return file.read(1) != b"G"
    except OSError:
        return False


def find_pictures(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return what `walk_pictures` yields."""
    return list(walk_pictures(folder, recursive=recursive))


def walk_pictures(folder: Path, *, recursive: bool = False) -> Iterator[Path]:
    """Yield the pictures and films in `folder`, known by their suffixes, in the order of their names.

    Those of a folder come before those in its folders. Of each folder some tens of thousands of names are held at a
    time, so that a million files do not fill memory.

    Hidden files and folders are passed over, and links to folders are not followed, so that a link that leads
    back up ends nothing in a loop. A link to a file is one under the name of the link. A folder further
    down that cannot be read, and a link that leads nowhere, are listed in their places, so that reading them
    fails as a bad file does.

    Raises:
        SourceError: the folder cannot be read; or, at the end, no picture or film is in it.

    """
    empty = True
    waiting: list[Iterator[Path]] = [iter((folder,))]
    while waiting:  # not by recursion, nor by os.walk, which recurses: folders may be nested deeper than that goes
        parent = next(waiting[-1], None)
        if parent is None:
            waiting.pop()
            continue
        try:
            for name in _in_order(parent, folders=False):
                path = parent / name
                if not os.path.exists(path) or (os.path.isfile(path) and not _is_code(path)):
                    empty = False
                    yield path
        except OSError as error:
            if parent == folder:
                raise source_error(str(folder), f"the folder cannot be read ({error.strerror or error})") from error
            empty = False
            yield parent
            continue
        if recursive:
            waiting.append(_folders(parent))
    if empty:
        advice = "" if recursive else "; --recursive looks in its folders too"
        raise source_error(str(folder), f"no picture or film is in this folder{advice}")


def _folders(parent: Path) -> Iterator[Path]:
    with suppress(OSError):  # gone since its files were listed
        for name in _in_order(parent, folders=True):
            yield parent / name


def _in_order(parent: Path, *, folders: bool) -> Iterator[str]:
    """Yield the names of the folders, or of the pictures and films, in `parent`; it is read once for each `_HELD`."""
    last = ""
    while True:
        with os.scandir(parent) as entries:
            names = heapq.nsmallest(
                _HELD,
                (
                    entry.name
                    for entry in entries
                    if entry.name > last
                    and not entry.name.startswith(".")
                    and (folders or os.path.splitext(entry.name)[1].lower() in _ALL)
                    and entry.is_dir(follow_symlinks=False) is folders
                ),
            )
        yield from names
        if len(names) < _HELD:
            return
        last = names[-1]
