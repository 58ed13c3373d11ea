"""How far an analysis is, on standard error, where there is someone to see it and something to wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from mien.cli.bar import Bar
from mien.errors import one_line

if TYPE_CHECKING:
    from mien.results import Result
    from mien.sources import Media, Selection

_NAME = 28  # characters of a film's name


class Progress(Bar):
    """A bar over the inputs, or over the seconds of the film that is being analysed, with its speed.

    Attributes:
        live: what is being analysed has no end of its own.

    """

    def __init__(
        self, inputs: int | None, selection: Selection, *, count: Callable[[], int] | None = None, shown: bool
    ) -> None:
        """Say what there is to be seen.

        Args:
            inputs: how many there are; None is many, of which nobody knows how many yet.
            selection: what of films is looked at.
            count: finds out how many there are; that may take long, and is done meanwhile.
            shown: show it, if standard error is a terminal.

        """
        super().__init__("what", "bar", "share", "speed", "faces", "left", shown=shown)
        self._inputs, self._selection, self._count = inputs, selection, count
        self._begun = self._faces = 0
        self.live = False
        self._film: float | None = None
        self._length: float | None = None

    def __enter__(self) -> Self:
        if self.shown and self._inputs is None and self._count is not None:
            threading.Thread(target=self._find_out, args=(self._count,), name="mien-count", daemon=True).start()
        return self

    def begin(self, *, skipped: int = 0) -> None:
        """It is the turn of the next input; or so many have been dealt with already."""
        self._begun += skipped or 1
        self._film, self.live = None, False

    def open(self, media: Media) -> None:
        """The input has been opened here, and the bar may be over its seconds."""
        self._film, self.live = time.perf_counter(), media.live
        end = min((t for t in (media.duration, self._selection.end) if t is not None), default=None)
        self._length = None if end is None else max(0.0, end - self._selection.start)

    def add(self, result: Result) -> None:
        """A result has been dealt with."""
        if not self.shown:
            return
        self._faces += len(result.faces)
        faces = f"{self._faces} faces"
        count = "" if self._inputs == 1 else f"{self._begun}/{self._inputs}" if self._inputs else f"{self._begun}"
        if result.time is not None and self._film is not None:
            name = one_line(result.source)
            what = f"{count} {name if len(name) <= _NAME else '…' + name[1 - _NAME :]}".strip()
            done = result.time - self._selection.start
            speed = done / max(1e-3, time.perf_counter() - self._film)
            self.show(done, self._length, {"what": what, "speed": f"{speed:.1f}x", "faces": faces})
        elif count:  # for a single picture there is nothing to wait
            self.show(self._begun, self._inputs, {"what": count, "speed": "", "faces": faces})

    def _find_out(self, count: Callable[[], int]) -> None:
        self._inputs = count()
