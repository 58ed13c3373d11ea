"""Which frames of a film to look at, told before their pixels are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from mien.errors import UsageError
from mien.sources.naming import source_error

_ROUNDING = 1e-6  # times are rounded to so many seconds: one that fell just short of a multiple has reached it


class Verdict(Enum):
    """What to do with a frame."""

    TAKE = "take"
    PASS = "pass"  # noqa: S105
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames of a film to look at.

    Attributes:
        start: seconds; what comes before is passed over.
        end: seconds; frames up to it, and not that at it. None is the end of the film.
        fps: at most so many frames a second: the first at or after each multiple of 1/fps, counted from `start`.
        every: each n-th frame, counted from the first.

    """

    start: float = 0.0
    end: float | None = None
    fps: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and self.start >= 0):
            raise UsageError(f"--start (start=) is {self.start}: it is seconds from the beginning, 0 or more")
        if self.end is not None and not (math.isfinite(self.end) and self.end > self.start):
            raise UsageError(f"--end (end=) is {self.end}: it is seconds, and more than --start ({self.start:g})")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"--fps (fps=) is {self.fps}: it is frames a second, more than 0")
        if self.every < 1:
            raise UsageError(f"--every (every=) is {self.every}: it is a number of frames, 1 or more")
        if self.fps is not None and self.every > 1:
            raise UsageError("--fps (fps=) and --every (every=) each say which frames to take: give one of them")

    def picker(self, picked: Picked | None = None) -> Picker:
        """Return what goes through one film, or through what comes of it after others have `picked` from its part."""
        return Picker(self, picked)


@dataclass(frozen=True, slots=True)
class Picked:
    """How far a film has been gone through.

    Attributes:
        due: seconds from which on the next frame is taken, where so many a second are.
        taken: number of the last frame that was taken; None where none was.

    """

    due: float
    taken: int | None


class Picker:
    """Goes through the frames of one film in their order and says of each whether to take it."""

    def __init__(self, selection: Selection, picked: Picked | None = None) -> None:
        self._selection = selection
        self._due = selection.start if picked is None else picked.due
        self._taken = None if picked is None else picked.taken
        self._first: float | None = None
        self._last = 0.0
        self._stopped = False

    @property
    def picked(self) -> Picked:
        """How far it has come."""
        return Picked(self._due, self._taken)

    def verdict(self, index: int, time: float) -> Verdict:
        """Return what to do with the frame of that number and time."""
        wanted = self._selection
        if self._first is None:
            self._first = time
        if wanted.end is not None and time >= wanted.end:
            self._stopped = True
            return Verdict.STOP
        self._last = time
        if time < wanted.start:
            return Verdict.PASS
        if wanted.fps is not None:
            if time + _ROUNDING < self._due:
                return Verdict.PASS
            multiples = math.floor((time - wanted.start + _ROUNDING) * wanted.fps) + 1
            self._due = wanted.start + multiples / wanted.fps
        elif self._taken is not None and index - self._taken < wanted.every:
            return Verdict.PASS
        self._taken = index
        return Verdict.TAKE

    def check(self, name: str) -> None:
        """Refuse a selection for which there was nothing in the film called `name`, now that it is over.

        Raises:
            SourceError: no frame was taken.

        """
        if self._taken is not None or self._first is None:
            return
        start, end = self._selection.start, self._selection.end
        if not self._stopped:
            raise source_error(
                name, f"it ends at {self._last:.6g} s, and --start (start=) asks for what comes after {start:g} s"
            )
        if end is not None and self._first >= end:
            raise source_error(
                name, f"it begins at {self._first:g} s, and --end (end=) asks for what comes before {end:g} s"
            )
        raise source_error(name, f"no frame of it lies from {start:g} s (--start, start=) to {end:g} s (--end, end=)")


WHOLE = Selection()
"""All frames."""
