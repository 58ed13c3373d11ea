"""Results → a chart: a row for each person, in which the emotions change over time."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from mien.emotions import COLOURS, Emotion
from mien.errors import DataError, MissingExtraError, UsageError, one_line
from mien.results import Result
from mien.timeline.bins import Bins, Curve
from mien.timeline.pace import Pace
from mien.timeline.summary import (
    Film,
    Person,
    Summary,
    clock,
    duration,
    leading,
    told_of_nobody,
    told_of_rest,
)
from mien.whole import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form = Literal["png", "svg", "pdf"]
FORMS: tuple[Form, ...] = ("png", "svg", "pdf")

MOST_ROWS = 20
"""Persons drawn where no least time is asked for."""
_BOUND = 100  # and where one is: programs refuse to show pictures that are much higher

# inches
_WIDTH, _LEFT, _RIGHT, _MARGIN = 11.0, 1.3, 2.75, 0.3
_HEAD, _TIMES, _FOOT, _NOTE = 1.18, 0.2, 0.52, 0.22
_HEADING, _GAP, _STRIP = 0.42, 0.2, 0.08
_DPI = 144

_INK, _SOFT, _PAPER, _NOT_SEEN = "#18181b", "#62626b", "#ffffff", "#f1f1f4"
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_TICKS = 10

_E = Emotion
_STACK = (_E.NEUTRAL, _E.SAD, _E.FEARFUL, _E.ANGRY, _E.DISGUSTED, _E.CONTEMPTUOUS, _E.SURPRISED, _E.HAPPY)
"""From the bottom: grey is the ground, and each colour lies between two that are told apart from it."""

_TEXT: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}
"""So that whatever a file is called, its name is no formula."""


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
    layout = _Layout(rows, heads=len(films) > 1, notes=len(notes))
    figure = _figure(layout.height)
    _head(figure, layout, films, summary)
    if rows:
        _legend(figure, layout, [curve for _, curve in rows])
        _rows(figure, layout, films)
    else:
        note = told_of_rest(rest, shown=False) or _told_of_empty(films)
        _write_text(figure, layout, _MARGIN, layout.height - 1.3, _sentence(note), size=11, color=_SOFT)
    for i, note in enumerate(notes):
        y = _NOTE * (len(notes) - i) + 0.02
        _write_text(figure, layout, _LEFT, y, _sentence(note), size=8.5, color=_SOFT)
    return _saved(figure, form)


class _Layout:
    """Where everything is, in inches: x from the left, y of the rows from the top of the first one."""

    def __init__(self, rows: Sequence[tuple[Person, Curve]], *, heads: bool, notes: int) -> None:
        self.rows = rows
        self.row = 0.95 if len(rows) <= 3 else 0.66 if len(rows) <= 8 else 0.46
        self.places: list[float] = []
        self.headings: list[tuple[float, str]] = []
        y, source = 0.0, None
        for person, _ in rows:
            if heads and person.source != source:
                self.headings.append((y + _HEADING - 0.14, person.source))
                y += _HEADING
            source = person.source
            self.places.append(y)
            y += self.row + _GAP
        self.body = max(y - _GAP, 0.0)
        self.foot = _FOOT + (_NOTE * notes + 0.06 if notes else 0.0)
        self.times_above = self.body > 6.0  # who looks at the first rows does not see the last one
        self.height = _HEAD + _TIMES * self.times_above + self.body + self.foot if rows else 1.9


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure  # a figure of its own: no window system, no global state

    return Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=_PAPER)


def _write_text(figure: Figure, layout: _Layout, x: float, y: float, text: str, **style: Any) -> None:
    """Write text at inches from the lower left corner."""
    figure.text(x / _WIDTH, y / layout.height, text, **{"va": "center", **_TEXT, **style})


def _head(figure: Figure, layout: _Layout, films: Sequence[Film], summary: Summary) -> None:
    title = _shortened(films[0].source, 72) if len(films) == 1 else f"{len(films)} films"
    persons = summary.persons()
    frames, seconds = sum(film.frames for film in films), sum(film.seconds for film in films)
    parts = [duration(seconds), f"{frames:,} frame{'s' * (frames != 1)}"]
    if numbered := sum(person.track is not None for person in persons):
        parts.append(f"{numbered} {'people' if numbered != 1 else 'person'}")
    top = layout.height
    _write_text(figure, layout, _MARGIN, top - 0.36, title, size=14, weight="bold", color=_INK)
    parts.append("the expression a human rater would most likely name")
    _write_text(figure, layout, _MARGIN, top - 0.63, "  ·  ".join(parts), size=9, color=_SOFT)


def _legend(figure: Figure, layout: _Layout, curves: Sequence[Curve]) -> None:
    """Name the colours in one line, in the order of the stack from its top."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import Rectangle
    from matplotlib.textpath import TextPath

    places = list(Emotion)
    known = [
        emotion
        for emotion in reversed(_STACK)
        if any(np.nanmax(curve.scores[:, places.index(emotion)]) > 0 for curve in curves)
    ]
    font = FontProperties(family="DejaVu Sans", size=9)
    x, y, side = _LEFT, layout.height - 0.95, 0.13
    for emotion in known:
        corner = (x / _WIDTH, (y - side / 2) / layout.height)
        swatch = Rectangle(corner, side / _WIDTH, side / layout.height, facecolor=_colour(emotion), linewidth=0)
        figure.add_artist(swatch)
        _write_text(figure, layout, x + side + 0.07, y, str(emotion), size=9, color=_INK)
        x += side + 0.07 + TextPath((0, 0), str(emotion), prop=font).get_extents().width / 72 + 0.26


def _rows(figure: Figure, layout: _Layout, films: Sequence[Film]) -> None:
    plot = _WIDTH - _LEFT - _RIGHT
    base, body = layout.foot / layout.height, layout.body / layout.height
    axes = figure.add_axes((_LEFT / _WIDTH, base, plot / _WIDTH, body))
    bars = figure.add_axes(((_LEFT + plot + 0.3) / _WIDTH, base, (_RIGHT - 0.3 - _MARGIN) / _WIDTH, body))
    for each in (axes, bars):
        each.set_ylim(layout.body, 0.0)
        each.set_yticks([])
        each.set_frame_on(False)
        each.patch.set_visible(False)
    bars.set_xlim(0.0, 1.0)
    bars.set_xticks([])
    by_source = {film.source: film for film in films}
    shown = [by_source[person.source] for person, _ in layout.rows]
    begin, end = min(film.first for film in shown), max(map(_end, shown))
    axes.set_xlim(begin, end)
    _time_axis(axes, begin, end, both=layout.times_above)
    for y, source in layout.headings:
        _at_row(axes, -1.0, y, _shortened(source, 84), size=10, weight="bold", color=_INK)
    for (person, curve), y, film in zip(layout.rows, layout.places, shown, strict=True):
        _ground(axes, film.first, _end(film), y, layout.row)
        _area(axes, curve, y + layout.row - _STRIP - 0.03, layout.row - _STRIP - 0.03)
        _strip(axes, curve, y + layout.row - _STRIP)
        _name(axes, person, y, layout.row)
        _shares(bars, person, y, layout.row)


def _end(film: Film) -> float:
    """Return when the last frame is over."""
    return max(film.last, film.first + film.seconds)


def _time_axis(axes: Axes, begin: float, end: float, *, both: bool) -> None:
    step = next((step for step in _STEPS if (end - begin) / step <= _TICKS), None)
    if step is None:
        step = _STEPS[-1] * math.ceil((end - begin) / _STEPS[-1] / _TICKS)
    ticks = [i * step for i in range(math.ceil(begin / step - 1e-6), math.floor(end / step + 1e-6) + 1)]
    axes.set_xticks(ticks, [clock(tick, 0 if step >= 1 else 1) for tick in ticks])
    axes.tick_params(
        axis="x", length=0, pad=6, labelsize=8.5, labelcolor=_SOFT, labelfontfamily="DejaVu Sans", labeltop=both
    )
    axes.grid(axis="x", color=_PAPER, linewidth=1.0)
    axes.set_axisbelow(True)


def _at_row(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write text `x` inches right of the axes' left edge."""
    plot = _WIDTH - _LEFT - _RIGHT
    axes.text(x / plot, y, text, transform=axes.get_yaxis_transform(), **{"va": "center", **_TEXT, **style})


def _ground(axes: Axes, begin: float, end: float, y: float, row: float) -> None:
    """Lay out the time for which the film lasts, which stays bare where the person is not seen."""
    for top, height in ((y, row - _STRIP - 0.03), (y + row - _STRIP, _STRIP)):
        axes.fill_between([begin, end], top, top + height, color=_NOT_SEEN, linewidth=0, zorder=0.1)


def _area(axes: Axes, curve: Curve, base: float, height: float) -> None:
    places = list(Emotion)
    heights = np.cumsum(curve.scores[:, [places.index(emotion) for emotion in _STACK]], axis=1)
    heights = np.vstack([heights, heights[-1:]])  # the last column too has a right edge
    # each over all that is above it, from the top down: side by side they would leave seams
    for i in reversed(range(len(_STACK))):
        below = heights[:, i - 1] if i else np.zeros(len(heights))
        if np.nanmax(heights[:, i] - below) > 0.0:
            axes.fill_between(
                curve.edges,
                base - height * heights[:, i],
                base,
                step="post",
                color=_colour(_STACK[i]),
                linewidth=0,
                antialiased=False,  # the colours behind would shine through at the edges
                zorder=2,
            )


def _strip(axes: Axes, curve: Curve, y: float) -> None:
    """Draw which emotion is the label."""
    runs: dict[int, list[tuple[float, float]]] = {}
    at = 0
    for label, group in itertools.groupby(curve.labels.tolist()):
        length = len(list(group))
        runs.setdefault(label, []).append((curve.edges[at], curve.edges[at + length] - curve.edges[at]))
        at += length
    for label, spans in runs.items():
        if label >= 0:
            axes.broken_barh(
                spans, (y, _STRIP), facecolors=_colour(list(Emotion)[label]), linewidth=0, antialiased=False, zorder=2
            )


def _name(axes: Axes, person: Person, y: float, row: float) -> None:
    name = "Untracked" if person.track is None else f"Person {person.track}"
    middle = y + row / 2
    _at_row(axes, -0.12, middle - 0.09, name, size=9.5, weight="bold", ha="right", color=_INK)
    _at_row(axes, -0.12, middle + 0.09, duration(person.seconds), size=8.5, ha="right", color=_SOFT)


def _shares(bars: Axes, person: Person, y: float, row: float) -> None:
    """Draw and tell how the time was divided between the emotions."""
    x, thick = 0.0, 0.13
    top = y + row / 2 - 0.09 - thick / 2
    for emotion in person.ranked():
        bars.barh(
            top + thick / 2,
            person.share(emotion),
            thick,
            left=x,
            color=_colour(emotion),
            edgecolor=_PAPER,
            linewidth=0.6,
        )
        x += person.share(emotion)
    told = ", ".join(f"{emotion} {person.share(emotion):.0%}" for emotion in person.ranked()[:2])
    bars.text(0.0, y + row / 2 + 0.11, told, size=8.5, va="center", color=_INK, **_TEXT)


def _told_of_empty(films: Sequence[Film]) -> str:
    empty = [film for film in films if not film.faces]
    if not empty:
        return ""
    if len(empty) == 1 or len(films) == 1:
        return told_of_nobody(empty[0])
    if len(empty) == len(films):
        return f"nobody was seen in these {len(films)} films"
    more = f" and {len(empty) - 2} more" if len(empty) > 2 else ""
    names = (", " if more else " and ").join(_shortened(film.source, 30) for film in empty[:2])
    return f"nobody was seen in {names}{more}"


def _sentence(note: str) -> str:
    line = one_line(note)
    return line[:1].upper() + line[1:]


def _shortened(name: str, most: int) -> str:
    """Return a name on one line, without its middle where it is long."""
    line = one_line(name)
    return line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[-(most - most // 2) :]}"


def _colour(emotion: Emotion) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[emotion])


def _saved(figure: Figure, form: Form) -> bytes:
    # without the hour, so that the same results make the same file
    dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a letter of a name becomes a box
        figure.savefig(stream, format=form, metadata=dates[form], dpi=_DPI)
    return stream.getvalue()
