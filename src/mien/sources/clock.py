"""When the frames of a film are shown, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.sources.container import stated_rate

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

USUAL_RATE = 25.0
"""Frames a second, where a film states neither times nor a rate."""


class Clock:
    """Gives the frames of one film their times: never backward, whatever their timestamps do."""

    def __init__(self, stream: VideoStream, origin: float) -> None:
        self._origin = origin
        self._unit = float(stream.time_base or 0)
        self._step = 1 / (stated_rate(stream) or USUAL_RATE)
        self._last: float | None = None
        self._shift = 0.0

    @property
    def shifted(self) -> bool:
        """Whether times had to be put off, because timestamps went back."""
        return self._shift > 0

    def stated(self, timestamp: int) -> float:
        """Return the time in seconds that a timestamp stands for."""
        return round(max(0.0, timestamp * self._unit - self._origin), 6)

    def time(self, decoded: VideoFrame) -> float:
        """Return the time in seconds of the next frame."""
        if decoded.pts is None:
            time = 0.0 if self._last is None else self._last + self._step
        else:
            time = self.stated(decoded.pts) + self._shift
            if self._last is not None and time < self._last:
                going_on = self._last + (decoded.duration * self._unit or self._step)
                self._shift += going_on - time
                time = going_on
        self._last = time = round(time, 6)
        return time
