"""Scores over time: each person's mean, in which what lies further back counts for less."""

from __future__ import annotations

from collections.abc import Mapping

from mien.emotions import Emotion

Scores = Mapping[Emotion, float]

_FORGOTTEN = 20  # half-lives: a millionth is left


class Smoother:
    """An exponential moving average for each track, by time rather than by frames.

    A sighting counts half as much after each half-life. All are divided by the sum of their weights, so that
    the first ones are averaged evenly instead of the very first one weighing most.
    """

    def __init__(self, half_life: float) -> None:
        """Take the half-life, in seconds, above 0."""
        self._half_life = half_life
        self._known: dict[int, tuple[float, float, Scores]] = {}

    def __call__(self, track: int, time: float, scores: Scores) -> Scores:
        """Return `scores` of one track smoothed with those that came before; times do not go back."""
        weight, smoothed = 1.0, scores
        if track in self._known:
            before, left, old = self._known[track]
            weight += left * 0.5 ** ((time - before) / self._half_life)
            smoothed = {emotion: old[emotion] + (score - old[emotion]) / weight for emotion, score in scores.items()}
        self._known[track] = (time, weight, smoothed)
        return smoothed

    def forget(self, time: float) -> None:
        """Let go of the tracks of which nothing would be left at `time`."""
        oldest = time - _FORGOTTEN * self._half_life
        self._known = {track: known for track, known in self._known.items() if known[0] >= oldest}
