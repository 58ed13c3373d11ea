"""Results as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mien.emotions import COLOURS, Emotion
from mien.errors import one_line
from mien.results import Face, Result

_BAR = 12  # characters


def result_table(results: Sequence[Result]) -> None:
    """Print a table with a row for each face, and a line for each picture in which nobody is."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("picture", overflow="fold")
    table.add_column("face", justify="right")
    for title in ("emotion", "", "", "next", "at")[: columns_for(console.width)]:
        table.add_column(title, no_wrap=True, style="dim" if title in ("next", "at") else None)
    for result in results:
        shown = one_line(result.source)
        if result.time is not None:
            shown += f" {result.time:.2f} s"
        if result.error is not None:
            table.add_row(Text(shown), "", Text("not read", style="red"))
        elif not result.faces:
            table.add_row(Text(shown), "", Text("nobody", style="dim"))
        for number, face in enumerate(result.faces, start=1):
            name = Text(shown) if number == 1 else Text("")
            table.add_row(name, str(number), *face_cells(face)[: columns_for(console.width)])
    console.print(table)


def columns_for(width: int) -> int:
    """Return how many of those leave room for the pictures' names in a terminal of that width."""
    return 3 if width < 90 else 4 if width < 110 else 5


def face_cells(face: Face) -> tuple[Text | str, ...]:
    """Return what stands about a face in a row: emotion, probability, bar, the next ones, and where it is."""
    ranked = sorted(face.shown.items(), key=lambda entry: -entry[1])
    filled = round(face.confidence * _BAR)
    colour = _style(face.emotion)
    x1, y1, x2, y2 = face.box
    return (
        Text(str(face.emotion), style=f"bold {colour}"),
        f"{face.confidence:4.0%}",
        Text("━" * filled, style=colour) + Text("─" * (_BAR - filled), style="dim"),
        ", ".join(f"{emotion} {score:.0%}" for emotion, score in ranked[1:3]),
        f"{x1:.0f},{y1:.0f} {x2 - x1:.0f}x{y2 - y1:.0f}",
    )


def _style(emotion: Emotion) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[emotion])
