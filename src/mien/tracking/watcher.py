"""The frames of a film → the faces in each, with the numbers of their persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.detectors import Detector, Follower
from mien.results import Detection, Frame
from mien.tracking.joining import Edge, Joiner, Person
from mien.tracking.scene import Change, Scene
from mien.tracking.tracker import Glimpse, Track, Tracker, meets

LONGEST = 0.5
"""Seconds: the most that may lie between two frames which the detector sees."""

_ROUNDING = 1e-6  # of times
_SHORTEST = 0.1  # seconds between two looks for what is going on elsewhere; twice as long after each in vain
_DOUBT = 0.2  # seconds after which it is looked again whether something is a face
_SEARCH = 1.5  # seconds for which a face is looked for where it would be now


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was seen in a frame of a segment; tracks are told by their numbers in it.

    Attributes:
        faces: each with its track, also those that may turn out to be none.
        begun: tracks seen for the first time.
        confirmed: tracks of which it has become sure that they are somebody.

    """

    faces: Sequence[tuple[Detection, int]]
    begun: Sequence[tuple[int, Glimpse]]
    confirmed: Sequence[int]


class SegmentWatcher:
    """Looks at the frames of a film's segment in order: with the whole detector at times, between following faces."""

    def __init__(self, detector: Detector, *, interval: float, before: float | None = None) -> None:
        """Take a detector; one that is no `Follower` looks at every frame.

        Args:
            detector: finds faces.
            interval: seconds after which it looks again if nothing happens before, 0 to `LONGEST`.
            before: time in seconds of the last frame looked at in the segment before; None where there is none.

        """
        self._detector = detector
        self._follower = detector if isinstance(detector, Follower) and interval > 0 else None
        self._interval = interval
        self._tracker, self._scene = Tracker(before=before), Scene()
        self._looked: float | None = None
        self._time = 0.0
        self._calm = _SHORTEST

    def __call__(self, frame: Frame) -> Look:
        """Return what is in a frame that comes after those before."""
        time = frame.time or 0.0
        present = self._tracker.present
        change = self._scene.look(frame.pixels, [track.motion.box for track in present])
        followed = {} if change is Change.CUT else self._follow(frame, time)
        found = None
        if self._due(time, change, present, followed):
            found = sorted(self._detector([frame])[0], key=lambda face: face.box)
            self._scene.looked()
            self._looked = time
            # while a camera moves everything changes, and yet nobody comes
            in_vain = change is Change.SOME and len(found) <= len(followed)
            self._calm = min(2 * self._calm, LONGEST) if in_vain else _SHORTEST
        faces = self._tracker.update(frame, time, found=found, followed=followed, cut=change is Change.CUT)
        self._time = time
        return Look(
            [(face, track.number) for face, track in faces],
            [(track.number, track.begun) for track in self._tracker.begun],
            [track.number for track in self._tracker.confirmed],
        )

    @property
    def edge(self) -> Edge:
        """The last frame."""
        return Edge(self._time, self._scene.last)

    @property
    def people(self) -> list[Person]:
        """Those who were seen in the last frame, and others who may come back."""
        present = self._tracker.present
        return [
            Person(track.number, track.motion, track.looks, track.seen, track in present)
            for track in self._tracker.tracks
        ]

    def _follow(self, frame: Frame, time: float) -> dict[Track, Detection]:
        if self._follower is None:
            return {}
        tracks = [track for track in self._tracker.tracks if time - track.seen <= _SEARCH]
        faces = self._follower.follow(frame, [track.motion.expected(time)[0] for track in tracks])
        return {track: face for track, face in zip(tracks, faces, strict=True) if face is not None}

    def _due(self, time: float, change: Change, present: list[Track], followed: dict[Track, Detection]) -> bool:
        """Return whether following is not enough: it was for long, somebody is lost or in doubt, or things change."""
        if self._follower is None or self._looked is None or change is Change.CUT:
            return True
        since = time - self._looked
        if since >= self._interval - _ROUNDING or (change is Change.SOME and since >= self._calm):
            return True
        if since >= _DOUBT - _ROUNDING and not all(track.confirmed for track in present):
            return True
        seen = [followed.get(track) for track in present]
        faces = [face for face in seen if face is not None]
        return len(faces) < len(seen) or any(meets(face, faces[:i]) for i, face in enumerate(faces))


class Watcher:
    """Looks at the frames of a film, in order, and knows who is who over its segments, each begun without the others.

    So a segment that is looked at alone, by a `SegmentWatcher`, shows the same faces.
    """

    def __init__(self, detector: Detector, *, interval: float) -> None:
        """Take a detector; the arguments are those of `SegmentWatcher`."""
        self._detector, self._interval = detector, interval
        self._joiner = Joiner()
        self._watcher: SegmentWatcher | None = None
        self._segment = 0

    def __call__(self, frame: Frame) -> list[tuple[Detection, int]]:
        """Return the faces of a frame that comes after those before, with the numbers of their persons."""
        watcher, before = self._watcher, None
        begins = watcher is None or frame.segment != self._segment
        if watcher is None or begins:
            if watcher is not None:
                before = watcher.edge.time
                self._joiner.end(watcher.edge, watcher.people)
            self._watcher = watcher = SegmentWatcher(self._detector, interval=self._interval, before=before)
            self._segment = frame.segment
        look = watcher(frame)
        if begins:
            self._joiner.begin(watcher.edge)
        self._joiner.add([track for _, track in look.faces], look.begun, look.confirmed)
        numbered = ((face, self._joiner.number(track)) for face, track in look.faces)
        return [(face, number) for face, number in numbered if number is not None]
