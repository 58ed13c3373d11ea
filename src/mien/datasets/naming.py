"""What pictures are called in a data set that is made: no two alike, none too long, none outside its folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from mien.errors import DataError

_LONGEST = 255  # bytes of a name that the usual file systems take
_SUFFIX = 16  # bytes above which what stands behind the last dot is no suffix


def is_within(name: str) -> bool:
    """Return whether `name` is a path, with slashes, of something within a folder, on this system."""
    odd = "\0\\:" if os.name == "nt" else "\0"
    return not any(part in ("", "..") for part in name.split("/")) and not any(letter in name for letter in odd)


def place_in(folder: Path, name: str) -> Path:
    """Return where in `folder` a picture is to be written, and make the folders above it.

    Raises:
        DataError: it would be outside.

    """
    path = folder / name
    if not is_within(name) or not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{name}: it is not the name of a picture within a data set")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def free_name(name: str, taken: set[str], *, suffix: str | None = None) -> str:
    """Return `name`, shortened where it is too long, and with a number where another is called so.

    Args:
        name: a path, with slashes.
        taken: those that are, in small letters, since some file systems do not tell them from large ones; the one
            that is returned is added.
        suffix: what the number stands before; None is the one that the name has.

    """
    path = PurePosixPath(name)
    suffix = path.suffix if suffix is None else suffix
    if len(suffix.encode("utf-8", "replace")) > _SUFFIX:
        suffix = ""
    stem, free, number = path.name.removesuffix(suffix).encode("utf-8", "replace"), "", 1
    while not free or free.lower() in taken:
        end = f"{f'-{number}' if number > 1 else ''}{suffix}"
        room = _LONGEST - len(end.encode())
        free = str(path.with_name(stem[:room].decode("utf-8", "ignore") + end))
        number += 1
    taken.add(free.lower())
    return free
