"""The summary of films as a table for people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import typer

from mien.cli.columns import in_columns
from mien.emotions import COLOURS, Emotion
from mien.errors import one_line
from mien.timeline.summary import Film, Person, Summary, clock, duration, leading, told_of_nobody, told_of_rest

if TYPE_CHECKING:
    from rich.text import Text

_WIDE, _NARROW = 24, 16  # characters of a bar
_LEAST = len("contemptuous 100%")
_MOST = 20  # persons on a terminal; a pipe gets all


def print_summary(summary: Summary, *, file: TextIO | None) -> None:
    """Print a row for each person, and a line for each film in which nobody is; nothing if there is no file.

    On a terminal the emotions are bars and shares; in a pipe all persons are told, with the seconds of each emotion.
    """
    if file is None:
        return
    films, persons = summary.films(), summary.persons()
    if persons and file.isatty():
        _print_tables(films, persons, file)
    elif persons:
        typer.echo(_plain(films, persons), file=file)
    for film in films:
        if not film.faces:
            typer.echo(one_line(told_of_nobody(film)), file=file)
    if not films:
        typer.echo("no film: only frames that have a time can be summed up", file=file)


def _plain(films: Sequence[Film], persons: Sequence[Person]) -> str:
    emotions = [emotion for emotion in Emotion if any(emotion in person.emotions for person in persons)]
    heads = ["person", "first", "last", "seconds", *map(str, emotions)]
    rows = [
        [
            "-" if person.track is None else str(person.track),
            f"{person.first:.1f}",
            f"{person.last:.1f}",
            f"{person.seconds:.1f}",
            *(f"{person.emotions.get(emotion, 0.0):.1f}" for emotion in emotions),
        ]
        for person in persons
    ]
    right = range(len(heads))
    if len(films) > 1:
        heads = [*heads, "film"]
        rows = [[*row, one_line(person.source)] for row, person in zip(rows, persons, strict=True)]
    return in_columns(heads, rows, right=right)


def _print_tables(films: Sequence[Film], persons: Sequence[Person], file: TextIO) -> None:
    """Print a table for each film, with the columns of all in one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=file, highlight=False)
    shown, rest = leading(persons, most=_MOST)
    seen = [f"{clock(person.first)}–{clock(person.last)}" for person in shown]
    times = [duration(person.seconds) for person in shown]
    bar = _WIDE if console.width >= 100 else _NARROW if console.width >= 72 else 1
    seen = seen if console.width >= 60 else [""] * len(seen)
    widths = (len("person"), max(map(len, seen)), max(map(len, times)), bar)
    room = max(console.width - sum(widths) - 2 * len(widths), _LEAST)
    rows = zip(shown, seen, times, strict=True)
    for number, (source, group) in enumerate(itertools.groupby(rows, key=lambda row: row[0].source)):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=number == 0)
        heads = ("person", "seen", "time", "", "")
        for head, width in zip(heads, (*widths, room), strict=True):
            table.add_column(
                head,
                width=max(width, 1),
                no_wrap=True,
                style="dim" if head == "seen" else None,
                justify="right" if head in ("person", "time") else "left",
            )
        for person, when, time in group:
            name = "–" if person.track is None else str(person.track)
            table.add_row(name, when, time, _bar(person, bar), _shares(person, room))
        if len(films) > 1:
            console.print(Text(one_line(source), style="bold"), overflow="fold")
        console.print(table)
    if rest:
        console.print(Text(told_of_rest(rest), style="dim"))


def _bar(person: Person, width: int) -> Text:
    """Return the emotions side by side, the longest first, as long as their shares."""
    from rich.text import Text

    bar, share = Text(), 0.0
    for emotion in person.ranked():
        share += person.share(emotion)
        bar.append("━" * (round(share * width) - len(bar)), style=_style(emotion))
    return bar


def _shares(person: Person, room: int) -> Text:
    """Return as many of the emotions as there is room for, the longest first."""
    from rich.text import Text

    shares = Text()
    for emotion in person.ranked():
        told = f"{emotion} {person.share(emotion):.0%}"
        if told.endswith(" 0%"):
            break
        if shares and len(shares) + 2 + len(told) > room:
            break
        shares.append("  " if shares else "").append(told, style=_style(emotion))
    return shares


def _style(emotion: Emotion) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[emotion])
