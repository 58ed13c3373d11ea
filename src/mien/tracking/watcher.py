"""The frames of a film → the faces in each, with the numbers of their persons."""

from __future__ import annotations

from mien.detectors import Detector, Follower
from mien.results import Detection, Frame
from mien.tracking.scene import Change, Scene
from mien.tracking.tracker import Track, Tracker, meets

LONGEST = 0.5
"""Seconds: the most that may lie between two frames which the detector sees."""

_ROUNDING = 1e-6  # of times
_SHORTEST = 0.1  # seconds between two looks for what is going on elsewhere; twice as long after each in vain
_DOUBT = 0.2  # seconds after which it is looked again whether something is a face
_SEARCH = 1.5  # seconds for which a face is looked for where it would be now


class Watcher:
    """Looks at the frames of one film, in order: with the whole detector at times, and between following faces."""

    def __init__(self, detector: Detector, *, interval: float) -> None:
        """Take a detector; one that is no `Follower` looks at every frame.

        Args:
            detector: finds faces.
            interval: seconds after which it looks again if nothing happens before, 0 to `LONGEST`.

        """
        self._detector = detector
        self._follower = detector if isinstance(detector, Follower) and interval > 0 else None
        self._interval = interval
        self._tracker, self._scene = Tracker(), Scene()
        self._looked: float | None = None
        self._calm = _SHORTEST

    def __call__(self, frame: Frame) -> list[tuple[Detection, int]]:
        """Return the faces of a frame that comes after those before, with the numbers of their persons."""
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
        return self._tracker.update(frame, time, found=found, followed=followed, cut=change is Change.CUT)

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
        if since >= _DOUBT - _ROUNDING and any(track.number is None for track in present):
            return True
        seen = [followed.get(track) for track in present]
        faces = [face for face in seen if face is not None]
        return len(faces) < len(seen) or any(meets(face, faces[:i]) for i, face in enumerate(faces))
