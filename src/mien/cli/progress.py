"""How far an analysis is, on standard error, where there is someone to see it and something to wait for."""

from __future__ import annotations

import sys
import time
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
    """A bar over the pictures, or over the seconds of the film that is being analysed, with its speed."""

    def __init__(self, sources: int, selection: Selection, *, shown: bool) -> None:
        self._sources, self._selection = sources, selection
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._opened = self._faces = 0
        self._length: float | None = None
        self._begun = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def open(self, media: Media) -> None:
        """A source has been opened."""
        self._opened += 1
        self._begun = time.perf_counter()
        end = min((t for t in (media.duration, self._selection.end) if t is not None), default=None)
        self._length = None if end is None else max(0.0, end - self._selection.start)

    def add(self, result: Result) -> None:
        """A result has been dealt with."""
        if not self._shown:
            return
        self._faces += len(result.faces)
        if self._bar is None and (self._sources > 1 or result.time is not None):
            self._start()
        if self._bar is None or self._task is None:
            return
        count = f"{self._opened}/{self._sources}" if self._sources > 1 else ""
        if result.time is None:
            self._bar.update(
                self._task, total=self._sources, completed=self._opened, what=count, faces=self._faces, speed=""
            )
            return
        name = one_line(result.source)
        what = f"{count} {name if len(name) <= _NAME else '…' + name[1 - _NAME :]}".strip()
        done = result.time - self._selection.start
        speed = done / max(1e-3, time.perf_counter() - self._begun)
        self._bar.update(
            self._task, total=self._length, completed=done, what=what, faces=self._faces, speed=f"{speed:.1f}x"
        )

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
