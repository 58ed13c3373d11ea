"""A bar on standard error, where there is someone to see it: what all verbs that show how far they are share."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

_WIDTH = 30  # characters


class Bar:
    """A bar that appears when there is first something to show, and goes when its context ends."""

    def __init__(self, *columns: str, shown: bool = True) -> None:
        """Show nothing yet.

        Args:
            columns: `bar`, `count` (as in 3/10), `share` (as in 30%), `left` (the time that it will take); others
                are names of texts.
            shown: whether anybody wants it. Where standard error is no terminal there is none anyway.

        """
        self.shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._columns = columns
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: float, of: float | None, texts: Mapping[str, str]) -> None:
        """Show how much is done, of how much where that is known, and the texts of the columns."""
        if not self.shown:
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress

            columns = [_column(name) for name in self._columns]
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        if self._task is None:
            self._task = self._progress.add_task("", total=of, texts=texts)
        self._progress.update(self._task, completed=done, total=of, texts=texts)

    def begin_again(self) -> None:
        """Let what is shown next be work of another kind, which takes its own time."""
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None


def _column(name: str) -> ProgressColumn:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    if name == "bar":
        return BarColumn(bar_width=_WIDTH)
    if name == "count":
        return MofNCompleteColumn()
    if name == "share":
        return TextColumn("{task.percentage:3.0f}%")
    if name == "left":
        return TimeRemainingColumn()
    return TextColumn(f"{{task.fields[texts][{name}]}}", markup=False)
