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

    Hidden files and folders are passed over, and links to folders are not followed.

    Raises:
        SourceError: the folder cannot be read, or no picture is in it.

    """

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        pictures = (name for name in sorted(files) if Path(name).suffix.lower() in SUFFIXES)
        found += [Path(parent) / name for name in pictures if not name.startswith(".")]
    if not found:
        advice = "" if recursive else "; --recursive looks in its folders too"
        raise SourceError(f"{folder}: no picture is in this folder{advice}")
    return found
