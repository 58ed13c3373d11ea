"""Faces made unrecognisable before other sinks draw and write them; the numbers stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.drawing.blurring import blur_faces
from mien.errors import OutputError
from mien.results import Box, Frame, Result

if TYPE_CHECKING:
    from mien.sinks import Sink

_GAP = 1.0  # seconds for which a face may be missed and is still followed
_BEFORE = 0.7  # seconds before the first sighting: a search for faces and a second look at a doubtful one take 0.6
_AFTER = 0.5  # seconds after the last sighting in which there may be a face still
_SPEED = 0.2  # seconds over which it is measured how fast a face comes in
_HELD = 192 << 20  # bytes of frames that wait


class Veil:
    """Blurs the faces in the frames that it hands on, in their order; results are handed on as they are.

    In a film a tracked face is blurred from 0.7 seconds before it is first seen, on the way that it seems to have
    come, to half a second after it is last seen, and where it is missed for up to a second, on the way between. For
    that, frames wait for a second. Of those
    that would take more than 192 MiB in that time, fewer wait: then a face that is missed may be blurred at its last
    place rather than on its way, and the blur may begin later before the first sighting.
    """

    def __init__(self, inner: Sequence[Sink]) -> None:
        """Take the sinks that get blurred frames; they are closed with this one."""
        self._inner = inner
        self._held: deque[tuple[Result, Frame, float]] = deque()
        self._bytes = 0
        self._sightings: dict[int, list[tuple[float, Box]]] = {}
        self._now: tuple[str, int] | None = None

    @property
    def kept(self) -> Sequence[Path]:
        """What the inner sinks have kept."""
        return [path for sink in self._inner for path in sink.kept]

    def write(self, result: Result, frame: Frame | None) -> None:
        """Take one result; of a film, hand on those that have waited long enough.

        Raises:
            OutputError: an inner sink cannot write one.

        """
        if self._now is not None and (result.source != self._now[0] or result.frame <= self._now[1]):
            self._flush()
            self._sightings.clear()
        self._now = (result.source, result.frame)
        if frame is None or result.time is None:
            self._flush()
            if frame is not None:
                frame = replace(frame, pixels=blur_faces(frame.pixels, [face.box for face in result.faces]))
            self._hand_on(result, frame)
            return
        for face in result.faces:
            if face.track is not None:
                self._sightings.setdefault(face.track, []).append((result.time, face.box))
        self._held.append((result, replace(frame, reduced=None), result.time))
        self._bytes += frame.pixels.nbytes
        while self._held and (self._held[0][2] < result.time - _GAP or self._bytes > _HELD):
            self._release()

    def close(self, *, complete: bool = True) -> None:
        """Hand on what waits, and close the inner sinks, all of them.

        Raises:
            OutputError: one of them cannot be finished; the first that says so is told of.

        """
        failures: list[OutputError] = []
        try:
            self._flush()
        except OutputError as error:
            failures.append(error)
            complete = False
        for sink in self._inner:
            try:
                sink.close(complete=complete)
            except OutputError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _flush(self) -> None:
        while self._held:
            self._release()

    def _release(self) -> None:
        """Hand on the frame that has waited longest."""
        result, frame, time = self._held.popleft()
        self._bytes -= frame.pixels.nbytes
        boxes = [face.box for face in result.faces if face.track is None]
        for track, sightings in list(self._sightings.items()):
            sightings[:] = [sighting for sighting in sightings if sighting[0] >= time - _GAP]
            if not sightings:
                del self._sightings[track]
            elif (box := _place(sightings, time)) is not None:
                boxes.append(box)
        self._hand_on(result, replace(frame, pixels=blur_faces(frame.pixels, boxes)))

    def _hand_on(self, result: Result, frame: Frame | None) -> None:
        for sink in self._inner:
            sink.write(result, frame)


def _place(sightings: Sequence[tuple[float, Box]], time: float) -> Box | None:
    """Return where a face is at a time, from where it was seen, in the order of time."""
    before = next((sighting for sighting in reversed(sightings) if sighting[0] <= time), None)
    after = next((sighting for sighting in sightings if sighting[0] >= time), None)
    if before is not None and after is not None and after[0] - before[0] <= _GAP:
        part = (time - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
        x1, y1, x2, y2 = (a + part * (b - a) for a, b in zip(before[1], after[1], strict=True))
        return (x1, y1, x2, y2)
    if before is not None and time - before[0] <= _AFTER:
        return before[1]
    if after is not None and after[0] - time <= _BEFORE:
        return _around(after[1], _come_from(sightings, time))
    return None


def _come_from(sightings: Sequence[tuple[float, Box]], time: float) -> Box:
    """Return where a face was before it was seen, if it came straight on."""
    start, box = sightings[0]
    later, there = next((one for one in sightings if one[0] >= start + _SPEED), sightings[-1])
    if later <= start:
        return box
    back = (start - time) / (later - start)
    x, y = ((box[i] + box[i + 2] - there[i] - there[i + 2]) / 2 * back for i in (0, 1))
    return (box[0] + x, box[1] + y, box[2] + x, box[3] + y)


def _around(one: Box, other: Box) -> Box:
    return (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
