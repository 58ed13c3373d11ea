"""What a film's file holds of its video, packet by packet, and whether all of it was there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, cast

from mien.sources.clock import USUAL_RATE
from mien.sources.container import reason, stated_duration, stated_rate

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_STATE_THEIR_LENGTH = frozenset({"mov", "matroska", "avi", "flv", "asf"})  # in the others it is an estimate
_AMISS = 1.0  # seconds that a stated length may be wrong by
_TS_PACKETS = (188, 192, 204)


class Packets:
    """The packets of one video, read once, in the order of the file.

    Attributes:
        broken: why reading ended before the video did, as far as that shows; None before the end.

    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, watch: Callable[[Packet[VideoStream]], None]
    ) -> None:
        """Read `stream` of `container`; `watch` is told of each packet, also of those that are not yielded."""
        self._container, self._stream, self._watch = container, stream, watch
        self._form = container.format.name.split(",")[0]
        self._came = {True: 0.0, False: 0.0}  # seconds up to which the video, and the rest, was there
        self.broken: str | None = None

    def __iter__(self) -> Generator[Packet[VideoStream] | None, None, None]:
        """Yield the packets; None where reading broke off."""
        from av.error import ExitError, FFmpegError

        torn: Packet[VideoStream] | None = (
            None  # held back: the last, where a film is cut short, shows half a picture
        )
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                self.broken = "nothing more has come" if isinstance(error, ExitError) else reason(error)
                yield None
                return
            except IndexError:  # PyAV stumbles, when all has been read, over streams that came up midway
                packet = None
            if packet is None:
                break
            if packet.size and packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * float(packet.time_base)
                video = packet.stream is self._stream
                self._came[video] = max(self._came[video], end)
            if packet.stream is self._stream:
                self._watch(cast("Packet[VideoStream]", packet))
                if torn is not None and packet.size:
                    yield torn
                    torn = None
                if packet.size and packet.is_corrupt:
                    torn = cast("Packet[VideoStream]", packet)
                else:
                    yield cast("Packet[VideoStream]", packet)
        if torn is not None:
            self.broken = "the next is not whole"
        elif self._form == "mpegts" and self._cut_within_packet():
            self.broken = "the file ends within a packet"
        else:
            self.broken = self._missing()

    def _cut_within_packet(self) -> bool:
        size = self._container.size
        return size > 0 and all(size % n for n in _TS_PACKETS)

    def _missing(self) -> str | None:
        """Return what of the length that the film states did not come."""
        duration = stated_duration(self._container, self._stream)
        if duration is None or self._form not in _STATE_THEIR_LENGTH:
            return None
        of_video = self._stream.duration is not None and self._stream.duration > 0
        came = self._came[True] if of_video else max(self._came.values())
        if duration - came <= max(_AMISS, 2 / (stated_rate(self._stream) or USUAL_RATE)):
            return None
        return f"{duration:.6g} s were announced"
