"""How far a download is, on standard error, where there is someone to see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.models.store import Entry


@contextmanager
def pulling(entry: Entry) -> Iterator[Callable[[int], None]]:
    """Yield what is to be told of every piece in bytes."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(entry.name, markup=False), BarColumn(bar_width=30), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=entry.size)
        yield lambda count: bar.update(task, advance=count)
