"""What can be chosen for all tabs: the emotions, and the model where several are served."""

from __future__ import annotations

from mien.emotions import SETS
from mien.serve.engine import Engine

ALL = "all"
"""Stands for all emotions of the model."""

_FORCED = (
    "Five (angry, disgusted, happy, sad, surprised) and three (angry, happy, sad) have no neutral. They force a "
    "choice: a calm face is called whichever of them is likeliest."
)


def emotion_choices(engine: Engine, model: str | None) -> list[tuple[str, str]]:
    """Return labels and values of what a model can be asked for: all of its emotions, and the sets it covers."""
    own = engine.analyzer(model).emotions
    sets = [(name.capitalize(), name) for name, members in SETS.items() if set(members) < set(own)]
    return [(f"All {len(own)}", ALL), *reversed(sets)]


def emotion_info(choices: list[tuple[str, str]]) -> str | None:
    """Return what is to be known about the sets that are offered."""
    return _FORCED if {"five", "three"} <= {value for _, value in choices} else None


def chosen(value: object) -> str | None:
    """Return the emotion set that the choice stands for; None for all."""
    return value if isinstance(value, str) and value != ALL else None
