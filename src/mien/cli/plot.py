"""`mien plot`: a chart and a summary of who showed which expression when."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mien.results import Result


def plot(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS", help="What `mien analyze --out` wrote of films: .jsonl, .json, .csv, .parquet."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The chart: a .png, .svg or .pdf. Default: RESULTS with the suffix .png.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Draw only this one of several films, by its name in the results."),
    ] = None,
    min_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Leave out people who are seen for less. Default: a fiftieth of the time of whoever is seen longest "
            "in the same film, and never more than twenty people.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a chart that exists.")] = False,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary/--no-summary", help="Print how long each person is seen, with which emotions, or do not."
        ),
    ] = True,
) -> None:
    """Draw each person's emotions over time, from the records of a film.

    A frame counts until the next one; what happened while a stream stalled is not guessed.

    Examples:
        mien plot talk.jsonl
        mien plot talk.jsonl --out talk.svg --min-seconds 1
    """
    from mien.cli.summary import print_summary
    from mien.errors import UsageError, one_line
    from mien.timeline import draw_timeline, read_results
    from mien.timeline.chart import chart_form, require_matplotlib

    if min_seconds is not None and not 0 <= min_seconds < math.inf:
        raise UsageError("--min-seconds is a number of seconds from 0 up")
    chart = _beside(results) if out is None else out
    chart_form(chart)
    if os.path.isdir(chart):
        raise UsageError(f"{chart}: it is a folder; a chart needs a file")
    if os.path.lexists(chart) and not overwrite:
        raise UsageError(f"{chart}: it exists already; name another output or pass --overwrite")
    require_matplotlib()
    found = read_results(results)
    told = draw_timeline(found if source is None else _of(source, found), chart, min_seconds=min_seconds)
    if summary:
        print_summary(told, file=sys.stdout)
    typer.echo(f"mien: the chart is in {one_line(str(chart))}", err=True)


def _beside(results: Path) -> Path:
    """Return NAME.png for NAME.jsonl, and for what an interrupted run has left of it."""
    return (results.with_suffix("") if results.suffix.lower() == ".partial" else results).with_suffix(".png")


def _of(source: str, results: Iterator[Result]) -> Iterator[Result]:
    """Yield the results of one film.

    Raises:
        UsageError: there are none.

    """
    from mien.errors import UsageError

    others: dict[str, None] = {}
    some = False
    for result in results:
        if result.source == source:
            some = True
            yield result
        else:
            others[result.source] = None
    if not some:
        names = list(others)[:5]
        more = f" and {len(others) - len(names)} more" if len(others) > len(names) else ""
        raise UsageError(f"--source {source}: the results are of {', '.join(names)}{more}")
