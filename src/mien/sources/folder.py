"""The pictures and films in a folder."""

from __future__ import annotations

import os
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
    """Return the pictures and films in `folder`, known by their suffixes, in the order of their names.

    Hidden files and folders are passed over, and links to folders are not followed, so that a link that leads
    back up ends nothing in a loop. A link to a file is one under the name of the link. A folder further
    down that cannot be read, and a link that leads nowhere, are listed in their places, so that reading them
    fails as a bad file does.

    Raises:
        SourceError: the folder cannot be read, or no picture or film is in it.

    """
    found: list[Path] = []
    waiting = [folder]
    while waiting:  # not by recursion, nor by os.walk, which recurses: folders may be nested deeper than that goes
        parent = waiting.pop()
        try:
            with os.scandir(parent) as entries:
                listed = sorted(
                    (entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except OSError as error:
            if parent == folder:
                raise source_error(str(folder), f"the folder cannot be read ({error.strerror or error})") from error
            found.append(parent)
            continue
        paths = (parent / name for name, is_folder in listed if not is_folder)
        media = (path for path in paths if path.suffix.lower() in SUFFIXES | FILM_SUFFIXES)
        found += [path for path in media if not os.path.exists(path) or (os.path.isfile(path) and not _is_code(path))]
        if recursive:
            waiting += [parent / name for name, is_folder in reversed(listed) if is_folder]
    if not found:
        advice = "" if recursive else "; --recursive looks in its folders too"
        raise source_error(str(folder), f"no picture or film is in this folder{advice}")
    return found
