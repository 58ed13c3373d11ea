"""The rows of a chart over time: for each person the emotions stacked, the label, and shares of the time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.emotions import Emotion
from mien.timeline.bins import Curve
from mien.timeline.layout import (
    INK,
    LEFT,
    MARGIN,
    PAPER,
    RIGHT,
    SOFT,
    STACK,
    TEXT,
    WIDTH,
    Layout,
    colour,
    shortened,
)
from mien.timeline.summary import Film, Person, clock, duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOT_SEEN = "#f1f1f4"
_STRIP = 0.08  # inches
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_TICKS = 10


def draw_rows(figure: Figure, layout: Layout, films: Sequence[Film]) -> None:
    """Draw the persons of `layout`, of the same `films`, over one axis of time."""
    plot = WIDTH - LEFT - RIGHT
    base, body = layout.foot / layout.height, layout.body / layout.height
    axes = figure.add_axes((LEFT / WIDTH, base, plot / WIDTH, body))
    bars = figure.add_axes(((LEFT + plot + 0.3) / WIDTH, base, (RIGHT - 0.3 - MARGIN) / WIDTH, body))
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
        _at_row(axes, -1.0, y, shortened(source, 84), size=10, weight="bold", color=INK)
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
        axis="x", length=0, pad=6, labelsize=8.5, labelcolor=SOFT, labelfontfamily="DejaVu Sans", labeltop=both
    )
    axes.grid(axis="x", color=PAPER, linewidth=1.0)
    axes.set_axisbelow(True)


def _at_row(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write text `x` inches right of the axes' left edge."""
    plot = WIDTH - LEFT - RIGHT
    axes.text(x / plot, y, text, transform=axes.get_yaxis_transform(), **{"va": "center", **TEXT, **style})


def _ground(axes: Axes, begin: float, end: float, y: float, row: float) -> None:
    """Lay out the time for which the film lasts, which stays bare where the person is not seen."""
    for top, height in ((y, row - _STRIP - 0.03), (y + row - _STRIP, _STRIP)):
        axes.fill_between([begin, end], top, top + height, color=_NOT_SEEN, linewidth=0, zorder=0.1)


def _area(axes: Axes, curve: Curve, base: float, height: float) -> None:
    places = list(Emotion)
    heights = np.cumsum(curve.scores[:, [places.index(emotion) for emotion in STACK]], axis=1)
    heights = np.vstack([heights, heights[-1:]])  # the last column too has a right edge
    # each over all that is above it, from the top down: side by side they would leave seams
    for i in reversed(range(len(STACK))):
        below = heights[:, i - 1] if i else np.zeros(len(heights))
        if np.nanmax(heights[:, i] - below) > 0.0:
            axes.fill_between(
                curve.edges,
                base - height * heights[:, i],
                base,
                step="post",
                color=colour(STACK[i]),
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
                spans, (y, _STRIP), facecolors=colour(list(Emotion)[label]), linewidth=0, antialiased=False, zorder=2
            )


def _name(axes: Axes, person: Person, y: float, row: float) -> None:
    name = "Untracked" if person.track is None else f"Person {person.track}"
    middle = y + row / 2
    _at_row(axes, -0.12, middle - 0.09, name, size=9.5, weight="bold", ha="right", color=INK)
    _at_row(axes, -0.12, middle + 0.09, duration(person.seconds), size=8.5, ha="right", color=SOFT)


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
            color=colour(emotion),
            edgecolor=PAPER,
            linewidth=0.6,
        )
        x += person.share(emotion)
    told = ", ".join(f"{emotion} {100 * person.share(emotion):.0f}%" for emotion in person.ranked()[:2])
    bars.text(0.0, y + row / 2 + 0.11, told, size=8.5, va="center", color=INK, **TEXT)
