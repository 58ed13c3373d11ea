"""How far an analysis is, where there is something to wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mien.cli.bar import Bar
from mien.errors import one_line

if TYPE_CHECKING:
    from mien.results import Result
    from mien.sources import Media, Selection

_NAME = 28  # characters of a film's name


class Progress(Bar):
    """A bar over the pictures, or over the seconds of the film that is being analysed, with its speed."""

    def __init__(self, sources: int, selection: Selection, *, shown: bool) -> None:
        super().__init__("what", "bar", "share", "speed", "faces", "left", shown=shown)
        self._sources, self._selection = sources, selection
        self._opened = self._faces = 0
        self._length: float | None = None
        self._begun = 0.0

    def open(self, media: Media) -> None:
        """A source has been opened."""
        self._opened += 1
        self._begun = time.perf_counter()
        end = min((t for t in (media.duration, self._selection.end) if t is not None), default=None)
        self._length = None if end is None else max(0.0, end - self._selection.start)

    def add(self, result: Result) -> None:
        """A result has been dealt with."""
        if not self.shown:
            return
        self._faces += len(result.faces)
        faces = f"{self._faces} faces"
        count = f"{self._opened}/{self._sources}" if self._sources > 1 else ""
        if result.time is not None:
            name = one_line(result.source)
            what = f"{count} {name if len(name) <= _NAME else '…' + name[1 - _NAME :]}".strip()
            done = result.time - self._selection.start
            speed = done / max(1e-3, time.perf_counter() - self._begun)
            self.show(done, self._length, {"what": what, "speed": f"{speed:.1f}x", "faces": faces})
        elif count:  # for a single picture there is nothing to wait
            self.show(self._opened, self._sources, {"what": count, "speed": "", "faces": faces})
