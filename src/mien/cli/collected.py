"""How far collecting is, and what came of it, for people."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from mien.cli.bar import Bar
from mien.cli.columns import in_columns
from mien.errors import one_line

if TYPE_CHECKING:
    from mien.collect.collecting import Progress, Report
    from mien.collect.results import Tally

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_MOST = 25  # labels in the summary on a terminal


class Collecting(Bar):
    """A bar over the pictures that are wanted."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__("what", "bar", "count", "failed", "left", "waiting", shown=shown)

    def update(self, progress: Progress) -> None:
        """Something has been done."""
        query = progress.query
        what = query.label if query.label == query.word else f"{query.label}: {query.word}"
        waiting = ""
        if progress.waiting is not None:
            host, seconds = progress.waiting
            waiting = f"{one_line(host)} asks to wait {seconds:.0f} s"
        texts = {"what": what, "failed": f"{progress.failed} failed", "waiting": waiting}
        self.show(progress.kept, progress.wanted, texts)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """While the context lasts, let what ends a program, SIGTERM or SIGHUP, do what Ctrl-C does."""
    before = {}
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in a shell's background
    for number in _SIGNALS if heard else ():
        handler = signal.getsignal(number)
        if handler not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_report(report: Report) -> None:
    """Print what became of the results, a row for each label and each provider, on standard error."""
    labels = dict(list(report.labels.items())[:_MOST])
    for head, tallies in (("label", labels), ("provider", report.providers)):
        typer.echo(f"{_table(head, tallies)}\n", err=True)
    if rest := len(report.labels) - len(labels):
        kept = sum(tally.kept for tally in report.labels.values())
        typer.echo(f"and {rest} more labels; {kept} pictures in all", err=True)


def _table(head: str, tallies: Mapping[str, Tally]) -> str:
    rows = [
        [name, str(tally.found), str(tally.kept), ", ".join(f"{why} {n}" for why, n in tally.failed.most_common())]
        for name, tally in tallies.items()
    ]
    return in_columns([head, "found", "kept", "not kept"], rows, right=(1, 2))
