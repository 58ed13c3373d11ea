"""The pictures in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from mien.errors import SourceError

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".avif"}
)


def find_pictures(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return the pictures in `folder`, known by their suffixes, in the order of their names.

    Hidden files and folders are passed over, and links to folders are not followed. A folder further down
    that cannot be read is listed in its place, so that reading it fails as a bad picture does.

    Raises:
        SourceError: the folder cannot be read, or no picture is in it.

    """
    found: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise SourceError(f"{folder}: the folder cannot be read ({error.strerror})") from error
        found.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        pictures = (name for name in sorted(files) if Path(name).suffix.lower() in SUFFIXES)
        paths = (Path(parent) / name for name in pictures if not name.startswith("."))
        found += [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]  # no pipes, no devices
    if not found:
        advice = "" if recursive else "; --recursive looks in its folders too"
        raise SourceError(f"{folder}: no picture is in this folder{advice}")
    return found
