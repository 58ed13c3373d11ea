"""What people are told of an analysis: a bar meanwhile, errors as they come, tables at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from mien.cli.messages import say
from mien.cli.progress import Progress
from mien.errors import one_line
from mien.timeline import Summary

if TYPE_CHECKING:
    from mien.results import Result

_MOST = 1000  # pictures in the table


class Telling:
    """Takes results as they come; of many pictures the first are in the table, so that memory stays flat."""

    def __init__(self, progress: Progress, *, table: bool, summary: bool, verbose: bool) -> None:
        """Say what is wanted.

        Args:
            progress: the bar.
            table: pictures as a table, and the people of films if there are any.
            summary: the people of films, or that there are none.
            verbose: a line for each result.

        """
        self._progress = progress
        self._table, self._summary, self._verbose = table, summary, verbose
        self._people = Summary()
        self._stills: list[Result] = []
        self._more = 0
        self._began = time.perf_counter()

    def begin(self) -> None:
        """It is the turn of the next input."""
        self._progress.begin()
        self._began = time.perf_counter()

    def recall(self, results: Iterable[Result], *, inputs: int) -> None:
        """Take what the run that is continued has found."""
        self._progress.begin(skipped=inputs)
        for result in results:
            self._people.add(result)

    def add(self, result: Result) -> None:
        """Take the next result."""
        if self._verbose:
            _say(result, 1000.0 * (time.perf_counter() - self._began))
        if result.error is not None:
            say(result.error)
        self._people.add(result)
        if self._table and (result.time is None or result.error is not None):
            if len(self._stills) < _MOST:
                self._stills.append(result)
            else:
                self._more += 1
        self._progress.add(result)
        self._began = time.perf_counter()

    def end(self, *, piped: bool) -> None:
        """Print the tables; `piped`: standard output is for records."""
        if self._stills:
            from mien.cli.table import result_table

            result_table(self._stills)
        if self._more:
            typer.echo(f"and {self._more} more pictures; for all of them name a file, such as --out faces.csv")
        if self._summary or (self._table and self._people.films()):
            from mien.cli.summary import print_summary

            print_summary(self._people, file=sys.stderr if piped else sys.stdout)


def _say(result: Result, milliseconds: float) -> None:
    at = "" if result.time is None else f", frame {result.frame} at {result.time:.3f} s"
    found = "not read" if result.error is not None else f"{len(result.faces)} face{'s' * (len(result.faces) != 1)}"
    say(f"{one_line(result.source)}{at}: {found}, {milliseconds:.0f} ms")
