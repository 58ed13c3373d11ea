"""How far an analysis is, on standard error, where there is someone to see it and something to wait for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mien.errors import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from mien.results import Result
    from mien.sources import Media, Selection

_NAME = 28  # characters of a film's name


class Progress:
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
        self._inputs, self._selection, self._count = inputs, selection, count
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._begun = self._faces = 0
        self.live = False
        self._film: float | None = None
        self._length: float | None = None

    def __enter__(self) -> Self:
        if self._shown and self._inputs is None and self._count is not None:
            threading.Thread(target=self._find_out, args=(self._count,), name="mien-count", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

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
        if not self._shown:
            return
        self._faces += len(result.faces)
        if self._bar is None and (self._inputs != 1 or result.time is not None):
            self._start()
        if self._bar is None or self._task is None:
            return
        count = "" if self._inputs == 1 else f"{self._begun}/{self._inputs}" if self._inputs else f"{self._begun}"
        if result.time is None or self._film is None:
            self._bar.update(
                self._task, total=self._inputs, completed=self._begun, what=count, faces=self._faces, speed=""
            )
            return
        name = one_line(result.source)
        what = f"{count} {name if len(name) <= _NAME else '…' + name[1 - _NAME :]}".strip()
        done = result.time - self._selection.start
        speed = done / max(1e-3, time.perf_counter() - self._film)
        self._bar.update(
            self._task, total=self._length, completed=done, what=what, faces=self._faces, speed=f"{speed:.1f}x"
        )

    def _find_out(self, count: Callable[[], int]) -> None:
        self._inputs = count()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.fields[what]}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[faces]} faces"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=None, what="", faces=0, speed="")
        self._bar.start()
