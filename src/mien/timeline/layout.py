"""How a chart over time looks: where everything is, in inches, and its colours and letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mien.emotions import COLOURS, Emotion
from mien.errors import one_line
from mien.timeline.bins import Curve
from mien.timeline.summary import Person

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# inches
WIDTH, LEFT, RIGHT, MARGIN = 11.0, 1.3, 2.75, 0.3
_HEAD, _TIMES, _FOOT, NOTE = 1.18, 0.2, 0.52, 0.22
_HEADING, _GAP = 0.42, 0.2
DPI = 144

INK, SOFT, PAPER = "#18181b", "#62626b", "#ffffff"

_E = Emotion
STACK = (_E.NEUTRAL, _E.SAD, _E.FEARFUL, _E.ANGRY, _E.DISGUSTED, _E.CONTEMPTUOUS, _E.SURPRISED, _E.HAPPY)
"""From the bottom: grey is the ground, and each colour lies between two that are told apart from it."""

TEXT: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}
"""So that whatever a file is called, its name is no formula."""


class Layout:
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
        self.foot = _FOOT + (NOTE * notes + 0.06 if notes else 0.0)
        self.times_above = self.body > 6.0  # who looks at the first rows does not see the last one
        self.height = _HEAD + _TIMES * self.times_above + self.body + self.foot if rows else 1.9


def write_text(figure: Figure, layout: Layout, x: float, y: float, text: str, **style: Any) -> None:
    """Write text at inches from the lower left corner."""
    figure.text(x / WIDTH, y / layout.height, text, **{"va": "center", **TEXT, **style})


def shortened(name: str, most: int) -> str:
    """Return a name on one line, without its middle where it is long."""
    line = one_line(name)
    return line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[-(most - most // 2) :]}"


def colour(emotion: Emotion) -> str:
    """Return the colour of an emotion as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[emotion])
