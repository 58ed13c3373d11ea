"""Where a film can be cut, so that each part can be decoded without what comes before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien.sources.selection import Picked, Selection, Verdict

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

SEGMENT = 30.0
"""Seconds: segment k of a film begins at its first keyframe at or after k times as many."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a film: the frames from one keyframe to before another.

    Attributes:
        begin: timestamp of the keyframe; None for the first of them, which is reached as the film itself is.
        end: timestamp of the keyframe at which the next one begins; None is the end of the film.
        frame: number of its first frame in the film.
        frames: how many there are, told by the film's packets; None in the last one.
        picked: which frames before it are looked at.
        last: seconds of the latest of those; None where there are none.

    """

    begin: int | None
    end: int | None
    frame: int
    frames: int | None
    picked: Picked
    last: float | None


@dataclass(slots=True)
class _Border:
    stamp: int
    frames: int  # before it


class Borders:
    """Goes through the packets of a film as they are stored and finds the keyframes at which segments begin.

    It looks at nothing that comes later, so that who reads a film once finds the same ones as who has read it before.
    Where the timestamps make no sense there are no more borders: the last segment goes to the end of the film.
    """

    def __init__(self, stated: Callable[[int], float]) -> None:
        """Take what tells the seconds that a timestamp stands for."""
        self._stated = stated
        self._ahead: deque[_Border] = deque()
        self._next = SEGMENT
        self._frames = 0
        self._first: int | None = None
        self._latest: int | None = None  # pts
        self._decoded: int | None = None  # dts
        self.ended = False

    def add(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet."""
        if self.ended or not packet.size:
            return
        stamp, decoded, discarded = packet.pts, packet.dts, packet.is_discard
        if self._first is None and packet.is_keyframe:
            self._first = stamp
        if (
            self._first is None
            or stamp is None
            or (stamp < self._first and not discarded)
            or (self._decoded is not None and (decoded is None or decoded < self._decoded))
        ):
            self.ended = True
            return
        self._decoded = decoded
        if discarded:
            return
        if packet.is_keyframe and (self._latest is None or stamp > self._latest):
            time = self._stated(stamp)
            if time >= self._next:
                self._ahead.append(_Border(stamp, self._frames))
                self._next = SEGMENT * (time // SEGMENT + 1)
        for border in reversed(self._ahead):  # what is stored after a keyframe may be shown before it
            if stamp >= border.stamp:
                break
            border.frames += 1
        self._latest = stamp if self._latest is None else max(self._latest, stamp)
        self._frames += 1

    def cross(self, stamp: int | None, number: int) -> int | None:
        """Return the number of a frame if it is the first that was decoded of its segment; to be asked in order.

        Args:
            stamp: the frame's timestamp.
            number: the frame's, by those decoded before it.

        """
        crossed = None
        while stamp is not None and self._ahead and stamp >= self._ahead[0].stamp:
            border = self._ahead.popleft()
            crossed = border.frames if stamp == border.stamp else number
        return crossed

    def found(self) -> list[tuple[int, int]]:
        """Return the timestamps of the keyframes not crossed yet, each with how many frames come before."""
        return [(border.stamp, border.frames) for border in self._ahead]


def plan(times: Sequence[float], borders: Sequence[tuple[int, int]], selection: Selection) -> list[Segment]:
    """Return the segments of a film from the first in which something is selected on, up to where nothing more is.

    Args:
        times: of all frames, in seconds, in order.
        borders: timestamps of the keyframes at which segments begin, but for the first, each with how many frames
            come before.
        selection: which frames to look at.

    """
    picker = selection.picker()
    begins = [(None, 0), *borders]
    ends = [*borders, (None, len(times))]
    segments: list[Segment] = []
    last: float | None = None
    for (begin, first), (end, stop) in zip(begins, ends, strict=True):
        picked, before = picker.picked, last
        verdict = Verdict.PASS
        for index in range(first, stop):
            verdict = picker.verdict(index, times[index])
            if verdict is Verdict.STOP:
                break
            if verdict is Verdict.TAKE:
                last = times[index]
        if last is not None:
            frames = None if end is None else stop - first
            segments.append(Segment(begin if segments else None, end, first, frames, picked, before))
        if verdict is Verdict.STOP:
            break
    return segments
