"""Scores over time in a bounded number of columns, however long the film is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.emotions import Emotion
from mien.results import Face, Result
from mien.timeline.summary import by_track

MOST = 1536
"""Columns between the first and the last time that is kept."""

_NARROWEST = 2.0**-8  # seconds; a power of two, so that twice and twice again stays exact
_EMOTIONS = {emotion: i for i, emotion in enumerate(Emotion)}


@dataclass(frozen=True, slots=True)
class Curve:
    """A person over time, in n columns of equal width.

    Attributes:
        edges: seconds, shape (n + 1,).
        scores: the mean probabilities, shape (n, 8) in the order of `Emotion`; NaN where the person is not seen.
        labels: the emotion that was the label for the longest time, as its place in `Emotion`, shape (n,); -1 where
            the person is not seen.

    """

    edges: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


class Bins:
    """Takes frames with the seconds that each counts; twice as wide columns whenever they become too many."""

    def __init__(self) -> None:
        self._width = _NARROWEST
        self._low: int | None = None
        self._high = 0
        self._sums: dict[tuple[str, int | None], dict[int, NDArray[np.float32]]] = {}

    def add(self, result: Result, seconds: float) -> None:
        """Take a frame of a film."""
        if result.time is None or not result.faces or seconds <= 0.0:
            return
        begin, end = result.time, result.time + seconds
        self._make_room(begin, end)
        for track, faces in by_track(result).items():
            sums = self._sums.setdefault((result.source, track), {})
            values = _values(faces)
            column, at = math.floor(begin / self._width), begin
            while at < end:
                edge = min((column + 1) * self._width, end)
                part = (values * (edge - at)).astype(np.float32)
                sums[column] = sums[column] + part if column in sums else part
                column, at = column + 1, edge

    def curve(self, source: str, track: int | None) -> Curve | None:
        """Return what was taken of a person, from the first time to the last; None where nothing was."""
        sums = self._sums.get((source, track))
        if not sums:
            return None
        low, high = min(sums), max(sums)
        table = np.zeros((high - low + 1, 2, len(_EMOTIONS)))
        for column, values in sums.items():
            table[column - low] = values
        scores, labels = table[:, 0], table[:, 1]
        seen = labels.sum(axis=1) > 0.0
        scores[~seen] = np.nan
        return Curve(
            edges=np.arange(low, high + 2, dtype=np.float64) * self._width,
            scores=scores / scores.sum(axis=1, keepdims=True),
            labels=np.where(seen, labels.argmax(axis=1), -1),
        )

    def _make_room(self, begin: float, end: float) -> None:
        while True:
            first, last = math.floor(begin / self._width), math.floor(end / self._width)
            low = first if self._low is None else min(first, self._low)
            high = last if self._low is None else max(last, self._high)
            if high - low < MOST:
                self._low, self._high = low, high
                return
            self._width *= 2.0
            if self._low is not None:
                self._low, self._high = self._low // 2, self._high // 2
            self._sums = {person: _paired(sums) for person, sums in self._sums.items()}


def _values(faces: list[Face]) -> NDArray[np.float64]:
    """Return the mean probabilities and the share of each label, shape (2, 8)."""
    values = np.zeros((2, len(_EMOTIONS)))
    for face in faces:
        shown: Mapping[Emotion, float] = face.scores if face.smoothed is None else face.smoothed
        for emotion, score in shown.items():
            values[0, _EMOTIONS[emotion]] += score
        values[1, _EMOTIONS[face.emotion]] += 1.0
    return values / len(faces)


def _paired(sums: Mapping[int, NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
    paired: dict[int, NDArray[np.float32]] = {}
    for column, values in sums.items():
        paired[column // 2] = paired[column // 2] + values if column // 2 in paired else values
    return paired
