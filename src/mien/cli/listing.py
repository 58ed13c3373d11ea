"""A file that lists paths, read as a stream."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import BinaryIO

from mien.errors import UsageError

_CHUNK = 1 << 16  # bytes


def read_list(file: str) -> Iterator[str]:
    """Yield the paths that a file lists, or - for standard input.

    Each has a line of its own; empty lines are passed over. Where a null character is in what comes first, as
    `find -print0` writes it, paths end with those instead, and may hold line breaks.

    Raises:
        UsageError: it cannot be read.

    """
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb") as stream:
            yield from _paths(stream)
    except OSError as error:
        raise UsageError(f"--list {file}: it cannot be read ({error.strerror or error})") from error


def _paths(stream: BinaryIO) -> Iterator[str]:
    left = _more(stream).removeprefix(codecs.BOM_UTF8)
    end, blank = (b"\0", b"") if b"\0" in left else (b"\n", b"\r")  # of a list from Windows
    while True:
        *whole, left = left.split(end)
        yield from (os.fsdecode(path) for path in (path.rstrip(blank) for path in whole) if path)
        more = _more(stream)
        if not more:
            break
        left += more
    if last := left.rstrip(blank):
        yield os.fsdecode(last)


def _more(stream: BinaryIO) -> bytes:
    """Return what is there, and wait only where nothing is: a pipe may still be written."""
    read = getattr(stream, "read1", stream.read)
    chunk: bytes = read(_CHUNK)
    return chunk
