"""People in the segments of a film → people in the film.

Each segment is watched without what was known before it. What the last of its frames tells of the people in it, and
what the first glimpses of people in the next one show, is enough to know them again, as the tracker would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.tracking.appearance import Signature
from mien.tracking.assignment import assign
from mien.tracking.motion import Motion
from mien.tracking.scene import Thumbnail, is_cut
from mien.tracking.tracker import PATIENCE, UNLIKELY, Glimpse, cost, patience_after


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """The first or last frame of a segment.

    Attributes:
        time: seconds.
        light: the picture, in a few hundred cells.

    """

    time: float
    light: Thumbnail


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody at the end of a segment.

    Attributes:
        number: in the segment.
        motion: where the face is going.
        looks: colours about it.
        seen: seconds, at the last sighting.
        present: that was in the last frame.

    """

    number: int
    motion: Motion
    looks: Signature
    seen: float
    present: bool


class Joiner:
    """Numbers the people of a film from 1, in the order in which they are confirmed; its segments come in order."""

    def __init__(self) -> None:
        self._numbers = 0
        self._of: dict[int, int] = {}  # numbers in the film, of tracks of this segment
        self._known: list[Person] = []  # who may come back from the segments before, with the numbers in the film
        self._first = self._patience = math.inf
        self._cut = False
        self._last: Edge | None = None

    def begin(self, first: Edge) -> None:
        """A segment begins; people are added after that."""
        self._of, self._first = {}, first.time
        if self._last is not None:
            self._cut = is_cut(self._last.light, first.light)
            self._patience = patience_after(first.time - self._last.time)

    def add(self, present: Sequence[int], begun: Sequence[tuple[int, Glimpse]], confirmed: Sequence[int]) -> None:
        """Take the tracks of a frame.

        Args:
            present: those that are in it.
            begun: those seen for the first time, with what was seen.
            confirmed: those of which it has become sure that they are somebody.

        """
        if begun and self._known:
            self._recognise(present, begun)
        for track in confirmed:
            if track not in self._of:
                self._numbers += 1
                self._of[track] = self._numbers
            self._known = [person for person in self._known if person.number != self._of[track]]

    def number(self, track: int) -> int | None:
        """Return the number in the film of a track of this segment; None while it may be nobody."""
        return self._of.get(track)

    def end(self, last: Edge, people: Sequence[Person]) -> None:
        """The segment is over."""
        here = [replace(one, number=self._of[one.number]) for one in people if one.number in self._of]
        numbers = {one.number for one in here}
        # after a cut, nobody is waited for
        absent = [one for one in self._known if one.number not in numbers and not self._cut]
        self._known = here + [replace(one, present=False) for one in absent if last.time - one.seen <= PATIENCE]
        self._last = last

    def _recognise(self, present: Sequence[int], begun: Sequence[tuple[int, Glimpse]]) -> None:
        # a track that was known again, and was lost before it was confirmed, does not keep its person
        held = {self._of[track] for track in present if track in self._of}
        waiting = [person for person in self._known if person.number not in held]
        costs = np.array([[self._cost(person, glimpse) for _, glimpse in begun] for person in waiting])
        for row, column in assign(costs.reshape(len(waiting), len(begun)), UNLIKELY):
            self._of[begun[column][0]] = waiting[row].number

    def _cost(self, person: Person, glimpse: Glimpse) -> float:
        if glimpse.time - person.seen > self._patience or (self._cut and glimpse.time != self._first):
            return math.inf
        return cost(person, glimpse, present=person.present, cut=self._cut)
