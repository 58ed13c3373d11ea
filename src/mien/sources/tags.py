"""A bound on what Pillow reads of a picture's tags: those of a TIFF, and of the EXIF block of any other."""

from __future__ import annotations

from functools import cache
from typing import IO

from PIL import TiffImagePlugin


class _Bounded:
    """A stream of which no more is read than twice what it has; tags share a few of their bytes at most."""

    def __init__(self, stream: IO[bytes]) -> None:
        here = stream.tell()
        self._left = 2 * stream.seek(0, 2)
        stream.seek(here)
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise OSError("its tags claim more than there is")
        return content


@cache
def bound_tags() -> None:
    """Let Pillow break off where tags claim more bytes than their file has.

    A directory has up to 65 535 tags, and nothing keeps them from all pointing at the same bytes, of which Pillow
    makes a copy for each: of a picture of ten megabytes, hundreds of gigabytes. Here, it breaks off as it does at the
    end of a file: a TIFF is damaged then, and an EXIF block says nothing.
    """
    load = TiffImagePlugin.ImageFileDirectory_v2.load

    def bounded(self: TiffImagePlugin.ImageFileDirectory_v2, fp: IO[bytes]) -> None:
        load(self, _Bounded(fp))  # type: ignore[arg-type]

    TiffImagePlugin.ImageFileDirectory_v2.load = bounded  # type: ignore[method-assign]
