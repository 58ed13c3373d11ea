"""Results → a chart: a row for each person, in which the emotions change over time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from mien.emotions import Emotion
from mien.errors import DataError, MissingExtraError, UsageError, one_line
from mien.results import Result
from mien.timeline.bins import Bins, Curve
from mien.timeline.layout import (
    DPI,
    INK,
    LEFT,
    MARGIN,
    NOTE,
    PAPER,
    SOFT,
    STACK,
    WIDTH,
    Layout,
    colour,
    shortened,
    write_text,
)
from mien.timeline.pace import Pace
from mien.timeline.rows import draw_rows
from mien.timeline.summary import (
    Film,
    Summary,
    duration,
    leading,
    told_of_nobody,
    told_of_rest,
)
from mien.whole import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["png", "svg", "pdf"]
FORMS: tuple[Form, ...] = ("png", "svg", "pdf")

MOST_ROWS = 20
"""Persons drawn where no least time is asked for."""
_BOUND = 100  # and where one is: programs refuse to show pictures that are much higher


def require_matplotlib() -> None:
    """Check that matplotlib is there.

    Raises:
        MissingExtraError: it is not, or cannot be loaded.

    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("drawing a chart over time", "plot") from error


def chart_form(target: Path) -> Form:
    """Return the form that the name of a chart asks for.

    Raises:
        UsageError: it is none of those that can be written.

    """
    for form in FORMS:
        if target.suffix.lower() == f".{form}":
            return form
    raise UsageError(f"{target}: cannot write such a chart; name a file in .{', .'.join(FORMS)}")


def draw_timeline(
    results: Iterable[Result],
    target: Path | BinaryIO,
    *,
    form: Form = "png",
    min_seconds: float | None = None,
) -> Summary:
    """Draw who shows which emotion when: for each person a row of stacked probabilities, and shares of the time.

    A row is grey where its person is not seen. Nobody in the films makes a chart that says so. The results are read
    once, and memory stays bounded however many they are.

    Args:
        results: of one or several films, in the order of time; still pictures and errors are passed over.
        target: a file, in the form that its name tells, which takes that name when it is whole; or a binary stream.
        form: what is written to a stream.
        min_seconds: leave out persons seen for less. Default: for less than a fiftieth of whoever is seen longest
            in the same film, and all but the twenty seen longest.

    Returns:
        The summary of the same results.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: the name of the file tells no form that can be written.
        DataError: no result belongs to a film.
        OutputError: the file cannot be written.

    """
    require_matplotlib()
    if isinstance(target, Path):
        form = chart_form(target)
    summary, bins, pace = Summary(), Bins(), Pace()
    for result in results:
        summary.add(result)
        if result.time is not None and result.error is None:
            for timed, seconds in pace.add(result):
                bins.add(timed, seconds)
    for timed, seconds in pace.rest():
        bins.add(timed, seconds)
    if not summary.films():
        raise DataError("there is no film among the results: a chart over time needs frames that have a time")
    chart = _draw(summary, bins, form, min_seconds)
    if isinstance(target, Path):
        write_whole(target, chart)
    else:
        target.write(chart)
    return summary


def _draw(summary: Summary, bins: Bins, form: Form, min_seconds: float | None) -> bytes:
    films = summary.films()
    drawn = [(person, curve) for person in summary.persons() if (curve := bins.curve(person.source, person.track))]
    most = MOST_ROWS if min_seconds is None else _BOUND
    shown, rest = leading([person for person, _ in drawn], most=most, min_seconds=min_seconds)
    kept = {(person.source, person.track) for person in shown}
    rows = [(person, curve) for person, curve in drawn if (person.source, person.track) in kept]
    notes = [note for note in (told_of_rest(rest, shown=bool(shown)), _told_of_empty(films)) if note and rows]
    layout = Layout(rows, heads=len(films) > 1, notes=len(notes))
    figure = _figure(layout.height)
    _head(figure, layout, films, summary)
    if rows:
        _legend(figure, layout, [curve for _, curve in rows])
        draw_rows(figure, layout, films)
    else:
        note = told_of_rest(rest, shown=False) or _told_of_empty(films)
        write_text(figure, layout, MARGIN, layout.height - 1.3, _sentence(note), size=11, color=SOFT)
    for i, note in enumerate(notes):
        y = NOTE * (len(notes) - i) + 0.02
        write_text(figure, layout, LEFT, y, _sentence(note), size=8.5, color=SOFT)
    return _saved(figure, form)


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure  # a figure of its own: no window system, no global state

    return Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)


def _head(figure: Figure, layout: Layout, films: Sequence[Film], summary: Summary) -> None:
    title = shortened(films[0].source, 72) if len(films) == 1 else f"{len(films)} films"
    persons = summary.persons()
    frames, seconds = sum(film.frames for film in films), sum(film.seconds for film in films)
    parts = [duration(seconds), f"{frames:,} frame{'s' * (frames != 1)}"]
    if numbered := sum(person.track is not None for person in persons):
        parts.append(f"{numbered} {'people' if numbered != 1 else 'person'}")
    top = layout.height
    write_text(figure, layout, MARGIN, top - 0.36, title, size=14, weight="bold", color=INK)
    parts.append("the expression a human rater would most likely name")
    write_text(figure, layout, MARGIN, top - 0.63, "  ·  ".join(parts), size=9, color=SOFT)


def _legend(figure: Figure, layout: Layout, curves: Sequence[Curve]) -> None:
    """Name the colours in one line, in the order of the stack from its top."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Rectangle
    from matplotlib.textpath import TextPath

    places = list(Emotion)
    known = [
        emotion
        for emotion in reversed(STACK)
        if any(np.nanmax(curve.scores[:, places.index(emotion)]) > 0 for curve in curves)
    ]
    font = FontProperties(family="DejaVu Sans", size=9)
    x, y, side = LEFT, layout.height - 0.95, 0.13
    for emotion in known:
        corner = (x / WIDTH, (y - side / 2) / layout.height)
        swatch = Rectangle(corner, side / WIDTH, side / layout.height, facecolor=colour(emotion), linewidth=0)
        figure.add_artist(swatch)
        write_text(figure, layout, x + side + 0.07, y, str(emotion), size=9, color=INK)
        x += side + 0.07 + TextPath((0, 0), str(emotion), prop=font).get_extents().width / 72 + 0.26


def _told_of_empty(films: Sequence[Film]) -> str:
    empty = [film for film in films if not film.faces]
    if not empty:
        return ""
    if len(empty) == 1 or len(films) == 1:
        return told_of_nobody(empty[0])
    if len(empty) == len(films):
        return f"nobody was seen in these {len(films)} films"
    more = f" and {len(empty) - 2} more" if len(empty) > 2 else ""
    names = (", " if more else " and ").join(shortened(film.source, 30) for film in empty[:2])
    return f"nobody was seen in {names}{more}"


def _sentence(note: str) -> str:
    line = one_line(note)
    return line[:1].upper() + line[1:]


def _saved(figure: Figure, form: Form) -> bytes:
    # without the hour, so that the same results make the same file
    dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a letter of a name becomes a box
        figure.savefig(stream, format=form, metadata=dates[form], dpi=DPI)
    return stream.getvalue()
