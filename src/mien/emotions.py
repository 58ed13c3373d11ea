"""The emotions, the sets they are asked for in, and projection from one set onto another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from mien.errors import UsageError


class Emotion(StrEnum):
    """What a human rater would most likely name; members compare equal to their lower-case names."""

    ANGRY = "angry"
    CONTEMPTUOUS = "contemptuous"
    DISGUSTED = "disgusted"
    FEARFUL = "fearful"
    HAPPY = "happy"
    NEUTRAL = "neutral"
    SAD = "sad"
    SURPRISED = "surprised"


_E = Emotion

SETS: Mapping[str, tuple[Emotion, ...]] = MappingProxyType(
    {
        "three": (_E.ANGRY, _E.HAPPY, _E.SAD),
        "five": (_E.ANGRY, _E.DISGUSTED, _E.HAPPY, _E.SAD, _E.SURPRISED),
        "seven": (_E.ANGRY, _E.DISGUSTED, _E.FEARFUL, _E.HAPPY, _E.NEUTRAL, _E.SAD, _E.SURPRISED),
        "eight": tuple(_E),
    }
)
"""Named sets. `three` and `five` have no neutral: asked for them, a model is forced to choose."""

# Angry, happy and sad are Okabe and Ito's vermillion, yellow and blue (2008). The others start from that palette
# and are moved apart until protan, deutan and tritan readers have no pair nearer than 16 (CIEDE2000); with its own
# purple and light grey the nearest would be 7. All have a contrast of 3 or more on the dark panel of bars.
COLOURS: Mapping[Emotion, tuple[int, int, int]] = MappingProxyType(
    {
        _E.ANGRY: (213, 94, 0),
        _E.CONTEMPTUOUS: (235, 153, 185),
        _E.DISGUSTED: (0, 174, 114),
        _E.FEARFUL: (163, 149, 254),
        _E.HAPPY: (240, 228, 66),
        _E.NEUTRAL: (113, 113, 113),
        _E.SAD: (0, 114, 178),
        _E.SURPRISED: (0, 248, 254),
    }
)
"""One RGB colour (0-255) an emotion."""


def emotion_set(name: str, labels: Sequence[Emotion]) -> tuple[Emotion, ...]:
    """Return the emotions of the set `name`, checked to be covered by a model's `labels`.

    Raises:
        UsageError: there is no such set, or the model does not know all of its emotions.

    """
    if name not in SETS:
        raise UsageError(f"there is no emotion set {name!r}: choose one of {', '.join(SETS)}")
    missing = [emotion for emotion in SETS[name] if emotion not in labels]
    if missing:
        raise UsageError(
            f"the model does not know {', '.join(missing)}, so it cannot answer in the set {name!r}; "
            f"it knows {', '.join(labels)}"
        )
    return SETS[name]


def set_name(emotions: Sequence[Emotion]) -> str:
    """Return the name of the set that `emotions` are, in whatever order, else their names joined by commas."""
    named = (name for name, members in SETS.items() if set(members) == set(emotions))
    return next(named, ",".join(emotions))


def project(scores: Mapping[Emotion, float], onto: Sequence[Emotion]) -> dict[Emotion, float]:
    """Return `scores` over the emotions in `onto` alone, renormalised to sum to 1.

    A distribution with no mass on any of them (all zero) becomes uniform: nothing is known then.
    """
    kept = {emotion: max(0.0, float(scores[emotion])) for emotion in onto}
    total = sum(kept.values())
    if total <= 0.0:
        return dict.fromkeys(onto, 1.0 / len(onto))
    return {emotion: score / total for emotion, score in kept.items()}
