"""Films: what PyAV decodes of a file → Frames with their numbers and times."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING

from mien.errors import SourceError
from mien.results import Frame
from mien.sources.clock import Clock
from mien.sources.container import stated_duration, stated_rate, video_stream
from mien.sources.conversion import Converter
from mien.sources.freed import give_back
from mien.sources.naming import source_error
from mien.sources.packets import Packets
from mien.sources.segments import Borders, Segment, plan
from mien.sources.selection import Selection, Verdict

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Of these codecs in these formats a packet is a frame, so that frames can be counted without decoding them.
_COUNTABLE_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "mpeg2video", "prores", "libdav1d"})

_COUNTABLE_FORMATS = frozenset({"mov", "matroska", "mpegts", "flv"})

_HELD = 600  # packets kept since a keyframe until it is known whether the next comes before the start

_BROADCAST = frozenset({"mpegts", "mpeg"})  # recordings of it begin anywhere: what comes before a keyframe is no loss

_LARGE = 2_000_000  # pixels of a frame; a decoder holds a dozen of them, and what it frees would lie about


class Film:
    """An opened film.

    Attributes:
        live: False: no frame is dropped.
        duration: seconds, where it is stated.
        rate: frames a second on average, where it is stated.
        lost: how many frames could not be decoded so far.
        exact: of a segment: all that was decoded so far is what it is in the whole film, with its numbers and times.
        whole: the film was gone through to its end.

    """

    live = False

    def __init__(
        self, reopen: Callable[[], InputContainer], name: str, max_pixels: int, *, threads: int | None = None
    ) -> None:
        """Open the film.

        Args:
            reopen: opens it at its beginning; called again where it has to be read anew.
            name: what to call it in frames and errors.
            max_pixels: refuse frames of more than so many pixels.
            threads: how many to decode with; None is one for each core.

        Raises:
            SourceError: no video is in it that can be decoded here, or it is too large.

        """
        self._reopen, self._name, self._max_pixels, self._threads = reopen, name, max_pixels, threads
        self._open()
        self.duration = stated_duration(self._container, self._stream)
        self.rate = stated_rate(self._stream)

    def _open(self) -> None:
        self._container = self._reopen()
        try:
            self._stream = video_stream(self._container, self._name)
            self._stream.thread_type = "AUTO"
            if self._threads is not None:
                self._stream.codec_context.thread_count = self._threads
            self._converter = Converter(self._stream.sample_aspect_ratio, self._name, self._max_pixels)
            if self._stream.width and self._stream.height:
                self._converter.check_size(self._stream.width, self._stream.height, self._name)
        except BaseException:
            self._container.close()
            self.__dict__.pop("_stream", None)
            give_back()  # to open a film is to decode some of it
            raise
        self._clock = Clock(self._stream, (self._container.start_time or 0) / 1e6)
        self._form = self._container.format.name.split(",")[0]
        self._index, self._time, self._segment = -1, 0.0, 0  # of the last frame decoded
        self._borders = Borders(self._clock.stated) if self._countable() else None
        self.lost, self.exact, self.whole = 0, True, False
        self._packets = Packets(self._container, self._stream, watch=self._watch)

    def _countable(self) -> bool:
        """Say whether a packet is a frame."""
        context = self._stream.codec_context
        return context.name in _COUNTABLE_CODECS and self._form in _COUNTABLE_FORMATS and not context.field_order > 1

    def _watch(self, packet: Packet[VideoStream]) -> None:
        if self._borders is not None:
            self._borders.add(packet)

    def close(self) -> None:
        """Let go of the file and of the decoder's threads."""
        self._container.close()
        self.__dict__.pop("_packets", None)
        stream = self.__dict__.pop("_stream", None)
        large = stream is not None and stream.width * stream.height >= _LARGE
        del stream
        if large:
            give_back()

    def segments(self, selection: Selection) -> list[Segment]:
        """Return the parts of the film that can be looked at each on its own; none where there are not two.

        The film is read to its end, and nothing is decoded. It is closed then.
        """
        stamps = array("q")
        try:
            if self._borders is None:
                return []
            for packet in self._packets:
                if packet is None or self._borders.ended:
                    break
                if packet.size and packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
            segments = plan(sorted(map(self._clock.stated, stamps)), self._borders.found(), selection)
            return segments if len(segments) > 1 else []
        finally:
            self.close()

    def frames(self, selection: Selection, segment: Segment | None = None) -> Generator[Frame, None, None]:
        """Yield the selected frames, of all the film or of one of its `segments`; once only.

        Raises:
            SourceError: after the frames that are whole, where the film breaks off or not all of it can be decoded
                (of a segment that is not the last, `lost` tells the latter); a frame is too large; nothing is
                selected.

        """
        picker = selection.picker(None if segment is None else segment.picked)
        try:
            frames = self._decoded(selection.start) if segment is None else self._decoded_part(selection, segment)
            with closing(frames) as decoded_frames:
                for decoded in decoded_frames:
                    verdict = picker.verdict(self._index, self._time)
                    if verdict is Verdict.STOP:
                        break
                    if verdict is Verdict.TAKE:
                        yield self._converter.frame(decoded, self._index, self._time, self._segment)
                else:
                    self.whole = segment is None or segment.end is None
                    if self.whole:
                        self._check_end(self.lost if segment is None else 0)
                if segment is None:
                    picker.check(self._name)
        finally:
            self.close()

    def _decoded_part(self, selection: Selection, segment: Segment) -> Generator[VideoFrame, None, None]:
        """Yield the frames of a segment as `_decoded` does those of the film."""
        began = False
        decoded_frames = self._decoded(selection.start) if segment.begin is None else self._decoded_from(segment)
        with closing(decoded_frames):
            for decoded in decoded_frames:
                if segment.end is not None and (decoded.pts is None or decoded.pts >= segment.end):
                    self.exact &= segment.frames is None or self._index <= segment.frame + segment.frames
                    break
                if not began and segment.begin is not None:
                    self.exact &= decoded.pts == segment.begin
                self.exact &= not self._clock.shifted
                began = True
                yield decoded
        self.exact &= began

    def _decoded_from(self, segment: Segment) -> Generator[VideoFrame, None, None]:
        """Yield the frames of a segment, and those after it, from its keyframe on."""
        from av.error import FFmpegError

        self._borders = None  # they are found from the film's beginning only
        number, begin = segment.frame, segment.begin or 0
        for packet in self._sought(begin):
            try:
                decoded_frames = self._stream.codec_context.decode(packet)
            except EOFError:
                continue
            except FFmpegError:
                ours = packet is None or packet.pts is None or packet.pts >= begin
                if ours and (segment.end is None or packet is None or packet.pts is None or packet.pts < segment.end):
                    self.lost += 1
                    number += 1
                continue
            for decoded in decoded_frames:
                if number == segment.frame and (decoded.pts is None or decoded.pts < begin):
                    continue  # stored after the keyframe and shown before it: it needs what comes before
                self._index, self._time = number, self._clock.time(decoded)
                number += 1
                yield decoded

    def _sought(self, stamp: int) -> Generator[Packet[VideoStream] | None, None, None]:
        """Yield the packets from the keyframe of a timestamp on, found by the film's index or by reading up to it."""
        from av.error import FFmpegError

        for indexed in (True, False):
            if indexed:
                with suppress(FFmpegError, OSError):
                    self._container.seek(stamp, stream=self._stream)
            else:
                self._container.close()
                self._open()
                self._borders = None
            found = False
            for packet in self._packets:
                if not found and packet is not None:
                    found = packet.pts == stamp and packet.is_keyframe
                    if not found and indexed and packet.dts is not None and packet.dts > stamp:
                        break
                if found:
                    yield packet
            if found:
                return

    def _decoded(self, start: float) -> Generator[VideoFrame, None, None]:
        """Yield the frames from `start` on, and some before; `_index` and `_time` are those of the latest."""
        from av.error import FFmpegError

        packets = iter(self._packets)
        skipped, before = self._skip(packets, start) if start > 0 else ([], 0)
        if skipped is None:
            packets.close()
            self._container.close()
            self._open()
            packets, skipped, before = iter(self._packets), [], 0
        counting = before > 0
        number = before  # of the next frame
        stamps: list[int] = []
        for packet in chain(skipped, packets):
            if counting and packet is not None and packet.pts is not None and not packet.is_discard:
                insort(stamps, packet.pts)
            try:
                decoded_frames = self._stream.codec_context.decode(packet)
            except EOFError:
                continue  # flushed already
            except FFmpegError:
                if self._index < 0 and self._form in _BROADCAST:
                    continue
                self.lost += 1
                number += 1  # the frame has its own, though nobody sees it
                continue
            for decoded in decoded_frames:
                self._time = self._clock.time(decoded)
                if counting and decoded.pts is not None:
                    number = before + bisect_left(stamps, decoded.pts)
                    counting = self._time < start
                if self._borders is not None and (crossed := self._borders.cross(decoded.pts, number)) is not None:
                    if crossed < number:
                        self._borders = None  # a packet was more than a frame
                    else:
                        number, self._segment = crossed, self._segment + 1
                self._index = number
                number += 1
                yield decoded

    def _skip(
        self, packets: Iterator[Packet[VideoStream] | None], start: float
    ) -> tuple[list[Packet[VideoStream] | None] | None, int]:
        """Return the packets from the last keyframe before `start` on, and how many frames come before it.

        No packets where frames cannot be counted by them.
        """
        if not self._countable():
            return None, 0
        held: list[Packet[VideoStream] | None] = []
        before, first, latest = 0, None, None
        for packet in packets:
            held.append(packet)
            if packet is None or not packet.size:
                break
            if first is None and packet.is_keyframe:
                first = packet.pts
            if (
                first is None
                or packet.pts is None
                or packet.dts is None
                or (packet.pts < first and not packet.is_discard)
                or (latest is not None and packet.dts < latest)
            ):
                return None, 0
            latest = packet.dts
            if packet.is_keyframe and self._clock.stated(packet.pts) <= start:
                before += sum(not earlier.is_discard for earlier in held[:-1] if earlier is not None)
                held = [packet]
            if self._clock.stated(packet.dts) > start or len(held) > _HELD:
                break
        return held, before

    def _check_end(self, lost: int) -> None:
        where = f"after frame {self._index} (at {self._time:g} s)" if self._index >= 0 else "before its first frame"
        if self._packets.broken is not None:
            raise source_error(self._name, f"the film breaks off {where}: {self._packets.broken}")
        if self._index < 0:
            raise source_error(self._name, "no frame of the film can be decoded")
        if lost:
            raise damaged(self._name, lost)


def damaged(name: str, lost: int) -> SourceError:
    """Return the error that says of the film called `name` that so many frames could not be decoded."""
    frames = "1 frame" if lost == 1 else f"{lost} frames"
    return source_error(name, f"the film is damaged: {frames} of it could not be decoded")
