"""Faces from frame to frame → who is who.

Tracking by detection, with the motion model of SORT (A. Bewley et al., ICIP 2016), its colours as a second witness
in the manner of DeepSORT (N. Wojke et al., ICIP 2017), and faces that are not sure kept waiting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mien.results import Box, Detection, Frame
from mien.tracking.appearance import Signature, blend, distance, signature
from mien.tracking.assignment import assign
from mien.tracking.motion import Motion, gap, overlap

PATIENCE = 2.0
"""Seconds after which somebody who is not seen any more is given up; who comes back later gets a new number."""

UNLIKELY = 9.0
"""Cost from which on two sightings are of two people."""

_SAME = 0.4  # overlap of two boxes about one face in one frame
_MEETING = 0.5  # overlap, as a share of the smaller box, of two faces of which one may be hidden
_NEAR, _FAR = 0.2, 1.0  # sizes of the face: bounds on the deviation of its place from what is expected
_DEVIATIONS = 3.0  # of those that a face may be away from there
_COLOUR_SPREAD = 0.2  # deviation of one person's colours (after a second, 19 of 20 differ by less than 0.23)
_ALIKE, _VERY_ALIKE = 0.4, 0.25  # differences of colours: of most pairs of people it is about 0.4
_AT_ONCE = 0.2  # seconds within which place alone tells who it is
_SURE = 0.97  # score of a face that is taken for one at first sight
_SIGHTINGS, _FINDS = 3, 2  # that other faces take: frames in which they are seen, and searches that find them
_OFTEN = 0.5  # seconds between frames; where there are fewer, nothing waits for another sighting
_MISSED = 3  # times that the detector does not find a face which following finds


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """Where somebody was at one time, and what about them could be seen.

    Attributes:
        box: of the face.
        looks: colours about it.
        time: seconds.

    """

    box: Box
    looks: Signature
    time: float


@dataclass(eq=False)
class Track:
    """One person, as long as it can be told that it is the same.

    Attributes:
        motion: where the face is going.
        looks: colours about it.
        seen: seconds, at the last sighting.
        begun: the first.
        number: from 1, in the order of these.
        sightings: in how many frames.
        finds: how often the detector has found it.
        confirmed: it is sure that this is a face.
        missed: how often in a row only following has found it.

    """

    motion: Motion
    looks: Signature
    seen: float
    begun: Glimpse
    number: int
    sightings: int = 0
    finds: int = 0
    confirmed: bool = False
    missed: int = 0


class Tracker:
    """Tells which faces of a film, or of a part of it, are one person's.

    Attributes:
        begun: those who were seen for the first time in the last frame.
        confirmed: those of whom it has become sure there that they are somebody.

    """

    def __init__(self, *, before: float | None = None) -> None:
        """Begin; `before` is the time in seconds of a frame that was looked at before, by another tracker."""
        self._tracks: list[Track] = []
        self._numbers = 0
        self._time = before
        self.begun: list[Track] = []
        self.confirmed: list[Track] = []

    @property
    def present(self) -> list[Track]:
        """Those who were seen in the last frame."""
        return [track for track in self._tracks if track.seen == self._time]

    @property
    def tracks(self) -> list[Track]:
        """Those, and others who may come back."""
        return list(self._tracks)

    def update(
        self,
        frame: Frame,
        time: float,
        *,
        found: Sequence[Detection] | None,
        followed: Mapping[Track, Detection],
        cut: bool = False,
    ) -> list[tuple[Detection, Track]]:
        """Return the faces of a frame, each with whom it belongs to, sure or not.

        Args:
            frame: the picture that they are in.
            time: its time, in seconds, later than the one before.
            found: by a detector; None where it did not look.
            followed: faces of `tracks` that were looked for where they are expected. Those of tracks that
                are not `present` count only as places where somebody may be.
            cut: the scene is another: only who is in the same place and looks the same is the same.

        """
        passed = math.inf if self._time is None else time - self._time
        self.begun, self.confirmed = [], []
        settled, open_faces = self._settle({} if cut else followed, found)
        waiting = [track for track in self._tracks if track not in settled]
        looks = [signature(frame.pixels, face.box) for face in open_faces]
        present = set(self.present)
        costs = np.array(
            [
                [
                    cost(track, Glimpse(face.box, look, time), present=track in present, cut=cut)
                    for face, look in zip(open_faces, looks, strict=True)
                ]
                for track in waiting
            ]
        ).reshape(len(waiting), len(open_faces))
        taken = set()
        for row, column in assign(costs, UNLIKELY):
            settled[waiting[row]] = open_faces[column]
            taken.add(column)
        for column, face in enumerate(open_faces):
            if column not in taken and found is not None and face in found:
                self._numbers += 1
                glimpse = Glimpse(face.box, looks[column], time)
                track = Track(Motion(face.box, time), looks[column], time, glimpse, self._numbers)
                self.begun.append(track)
                settled[track] = face
        for track, face in settled.items():
            track.finds += found is not None and face in found
            self._sight(track, face, time, at_once=passed > _OFTEN)
        if found is not None:
            self._remember_looks(frame, settled)
        self._time = time
        patience = PATIENCE if math.isinf(passed) else patience_after(passed)
        absent = (track for track in self._tracks if track not in settled)
        # who was seen a moment only, and not surely, was nobody; after a cut, nobody is waited for
        kept = [track for track in absent if not cut and track.confirmed and time - track.seen <= patience]
        self._tracks = [*settled, *kept]
        return [(face, track) for track, face in settled.items()]

    def _settle(
        self, followed: Mapping[Track, Detection], found: Sequence[Detection] | None
    ) -> tuple[dict[Track, Detection], list[Detection]]:
        """Return who is beyond doubt, with their faces, and the faces about which there is doubt."""
        present = set(self.present)
        left = list(found or ())
        settled: dict[Track, Detection] = {}
        doubtful: list[Detection] = []
        for track, face in followed.items():
            others = [other for one, other in followed.items() if one is not track and one in present]
            if track not in present or meets(face, others):
                doubtful.append(face)
                continue
            near = [other for other in left if overlap(face.box, other.box) > _SAME]
            if len(near) == 1:
                settled[track], track.missed = near[0], 0
                left.remove(near[0])
            elif near:
                doubtful.append(face)
            elif found is None or track.missed < _MISSED:
                settled[track] = face
                track.missed += found is not None
        for face in doubtful:
            if not meets(face, [*settled.values(), *left]):
                left.append(face)
        return settled, [face for face in left if not meets(face, settled.values())]

    def _sight(self, track: Track, face: Detection, time: float, *, at_once: bool) -> None:
        track.motion.update(face.box, time)
        track.seen = time
        track.sightings += 1
        often = track.sightings >= _SIGHTINGS and track.finds >= _FINDS
        sure = face.score is None or face.score >= _SURE
        if not track.confirmed and (at_once or often or sure):
            track.confirmed = True
            self.confirmed.append(track)

    def _remember_looks(self, frame: Frame, settled: Mapping[Track, Detection]) -> None:
        for track, face in settled.items():
            if not meets(face, (other for other in settled.values() if other is not face)):
                track.looks = blend(track.looks, signature(frame.pixels, face.box), 0.2)


def patience_after(passed: float) -> float:
    """Return the seconds after which somebody unseen is given up, where so many lie between two frames."""
    return max(PATIENCE, 2.5 * passed)


class Known(Protocol):
    """What it takes to know somebody again."""

    @property
    def motion(self) -> Motion:
        """Where the face is going."""
        ...

    @property
    def looks(self) -> Signature:
        """Colours about it."""
        ...

    @property
    def seen(self) -> float:
        """Seconds, at the last sighting."""
        ...


def cost(known: Known, sighting: Glimpse, *, present: bool, cut: bool) -> float:
    """Return how unlikely it is (as a negative logarithm, up to a constant) that a sighting is of somebody known.

    Args:
        known: may be who it is.
        sighting: later than what is known.
        present: they were seen in the last frame.
        cut: the scene is another since then.

    """
    colours = distance(known.looks, sighting.looks)
    if cut:
        same = present and overlap(known.motion.box, sighting.box) > 0.3 and colours < _VERY_ALIKE
        return colours if same else math.inf
    expected, spread = known.motion.expected(sighting.time)
    away = gap(expected, sighting.box)
    spread = min(max(spread, _NEAR), _FAR)
    if away > _DEVIATIONS * spread:
        return math.inf
    if colours > _ALIKE and sighting.time - known.seen > _AT_ONCE:
        return math.inf
    return (away / spread) ** 2 / 2 + (colours / _COLOUR_SPREAD) ** 2 / 2 + math.log(spread / _NEAR)


def meets(face: Detection, others: Iterable[Detection]) -> bool:
    """Return whether a face overlaps one of `others` so far that one of them may hide the other."""
    return any(overlap(face.box, other.box, of_smaller=True) > _MEETING for other in others)
