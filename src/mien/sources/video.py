"""Films: what PyAV decodes of a file → Frames with their numbers and times."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

from mien.results import Frame
from mien.sources.conversion import Converter
from mien.sources.naming import source_error
from mien.sources.opening import explain
from mien.sources.selection import Selection, Verdict

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,asf,ogg,yuv4mpegpipe,mxf,nut,rm,dv,wtv,gxf"
)
"""FFmpeg's names of the formats that are a film in one file: none of them has it open another."""

_STATE_THEIR_LENGTH = frozenset({"mov", "matroska", "avi", "flv", "asf"})  # in the others it is an estimate
HAVE_NO_TIMES = frozenset({"mpegvideo", "m4v", "h264", "hevc", "obu"})

# Of these codecs in these formats a packet is a frame, so that frames can be counted without decoding them.
_COUNTABLE_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "mpeg2video", "prores", "libdav1d"})
_COUNTABLE_FORMATS = frozenset({"mov", "matroska", "mpegts", "flv"})

_HELD = 600  # packets kept since a keyframe until it is known whether the next comes before the start

_BROADCAST = frozenset({"mpegts", "mpeg"})  # recordings of it begin anywhere: what comes before a keyframe is no loss

_AMISS = 1.0  # seconds that a stated length may be wrong by

_TS_PACKETS = (188, 192, 204)

_USUAL_RATE = 25.0  # frames a second, where a film states neither times nor a rate


_HEADS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\1",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"YUV4MPEG2 ",
    b"DKIF",
    b".RMF",
    b"\6\x0e+4",  # MXF
    b"nut/",
    b"\xb7\xd8\0 7I\xda\x11",  # WTV
    b"\0\0\1\xba",  # MPEG, as a programme or bare
    b"\0\0\1\xb3",
    b"\0\0\0\1",  # H.264 and its successors, bare
    b"\0\0\1g",
    b"\0\0\1@",
)
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"sidx", b"styp"})


def looks_like_a_film(head: bytes) -> bool:
    """Say whether a file that begins with `head` claims to be a film."""
    if head.startswith(_HEADS) or head[4:8] in _BOXES:
        return True
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return True
    packets = ((0, 188), (4, 192), (0, 204))  # of a transport stream, each of which begins alike
    return any(set(head[first::step][:4]) == {0x47} and len(head) > 3 * step for first, step in packets)


def open_file(file: BinaryIO, name: str, *, known: bool = True) -> InputContainer:
    """Open a film at the beginning of a file, which stays the caller's to close.

    The file is handed over open, so that nothing in its name, and nothing it says, opens another.

    Args:
        file: can seek.
        name: what to call it in errors.
        known: it looks like a film.

    Raises:
        SourceError: it is not a film, or damaged at its beginning.

    """
    import av

    try:
        file.seek(0)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
        return av.open(_Nameless(file), "r", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        if not known:
            raise source_error(
                name, "neither a picture nor a film, or of a format that cannot be read here"
            ) from error
        raise source_error(name, _why_not_opened(file, error)) from error
    except OSError as error:
        raise source_error(name, f"cannot be read ({error.strerror or error})") from error


class _Nameless:
    """What FFmpeg needs of a file, less its name, from which it would draw conclusions."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _why_not_opened(file: BinaryIO, error: Exception) -> str:
    """Return what is wrong: most often a recording that was not finished, whose index would be at its end."""
    boxes: set[bytes] = set()
    with suppress(OSError, OverflowError):
        place, size = 0, file.seek(0, 2)
        while place + 8 <= size and len(boxes) < len(_BOXES):
            file.seek(place)
            head = file.read(16)
            boxes.add(head[4:8])
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if head[4:8] not in _BOXES or length < 8:
                break
            place += length
    if b"mdat" in boxes and not boxes & {b"moov", b"moof"}:
        return "the film has no index (moov): it is cut short, or its recording was not finished"
    return f"the film is damaged at its beginning, or of a format that cannot be read here ({reason(error)})"


def reason(error: Exception) -> str:
    """Return what FFmpeg says is wrong, less what it calls the file."""
    return getattr(error, "strerror", None) or explain(error)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the first stream of moving pictures; a cover is none.

    Raises:
        SourceError: there is none, or nothing here decodes it.

    """
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    for stream in container.streams.video:
        if stream.disposition & still:
            continue
        if stream.codec_context is None:
            raise source_error(name, "its video is coded in a way that cannot be decoded here")
        return stream
    if container.streams.video:
        raise source_error(name, "there is no video in it, only a cover picture")
    raise source_error(name, "there is no video in it" + (", only sound" if container.streams.audio else ""))


def stated_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the length in seconds that a film states, of its video where it says so much."""
    if container.format.name.split(",")[0] in HAVE_NO_TIMES:
        return None
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0:
        return container.duration / 1e6
    return None


def stated_rate(stream: VideoStream) -> float | None:
    """Return the frames a second on average that a film states."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


class Clock:
    """Gives the frames of one film their times: never backward, whatever their timestamps do."""

    def __init__(self, stream: VideoStream, origin: float) -> None:
        self._origin = origin
        self._unit = float(stream.time_base or 0)
        self._step = 1 / (stated_rate(stream) or _USUAL_RATE)
        self._last: float | None = None
        self._shift = 0.0

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


class Film:
    """An opened film.

    Attributes:
        live: False: no frame is dropped.
        duration: seconds, where it is stated.
        rate: frames a second on average, where it is stated.

    """

    live = False

    def __init__(self, reopen: Callable[[], InputContainer], name: str, max_pixels: int) -> None:
        """Open the film.

        Args:
            reopen: opens it at its beginning; called again where it has to be read anew.
            name: what to call it in frames and errors.
            max_pixels: refuse frames of more than so many pixels.

        Raises:
            SourceError: no video is in it that can be decoded here, or it is too large.

        """
        self._reopen, self._name, self._max_pixels = reopen, name, max_pixels
        self._open()
        self.duration = stated_duration(self._container, self._stream)
        self.rate = stated_rate(self._stream)

    def _open(self) -> None:
        self._container = self._reopen()
        try:
            self._stream = video_stream(self._container, self._name)
            self._stream.thread_type = "AUTO"
            self._converter = Converter(self._stream.sample_aspect_ratio, self._name, self._max_pixels)
            if self._stream.width and self._stream.height:
                self._converter.check_size(self._stream.width, self._stream.height, self._name)
        except BaseException:
            self._container.close()
            raise
        self._clock = Clock(self._stream, (self._container.start_time or 0) / 1e6)
        self._form = self._container.format.name.split(",")[0]
        self._index, self._time = -1, 0.0  # of the last frame decoded
        self._came = {True: 0.0, False: 0.0}  # seconds up to which the video, and the rest, was there
        self._lost = 0
        self._broken: str | None = None

    def close(self) -> None:
        """Let go of the file and of the decoder's threads."""
        self._container.close()
        self.__dict__.pop("_stream", None)

    def frames(self, selection: Selection) -> Generator[Frame, None, None]:
        """Yield the selected frames; once only.

        Raises:
            SourceError: after the frames that are whole, where the film breaks off or not all of it can be decoded;
                a frame is too large; nothing is selected.

        """
        picker = selection.picker()
        try:
            with closing(self._decoded(selection.start)) as decoded_frames:
                for decoded in decoded_frames:
                    verdict = picker.verdict(self._index, self._time)
                    if verdict is Verdict.STOP:
                        break
                    if verdict is Verdict.TAKE:
                        yield self._converter.frame(decoded, self._index, self._time)
                else:
                    self._check_end()
                picker.check(self._name)
        finally:
            self.close()

    def _decoded(self, start: float) -> Generator[VideoFrame, None, None]:
        """Yield the frames from `start` on, and some before; `_index` and `_time` are those of the latest."""
        from av.error import FFmpegError

        packets = self._packets()
        skipped, before = self._skip(packets, start) if start > 0 else ([], 0)
        if skipped is None:
            packets.close()
            self._container.close()
            self._open()
            packets, skipped, before = self._packets(), [], 0
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
                self._lost += 1
                number += 1  # the frame has its own, though nobody sees it
                continue
            for decoded in decoded_frames:
                self._time = self._clock.time(decoded)
                if counting and decoded.pts is not None:
                    number = before + bisect_left(stamps, decoded.pts)
                    counting = self._time < start
                self._index = number
                number += 1
                yield decoded

    def _skip(
        self, packets: Iterator[Packet[VideoStream] | None], start: float
    ) -> tuple[list[Packet[VideoStream] | None] | None, int]:
        """Return the packets from the last keyframe before `start` on, and how many frames come before it.

        No packets where frames cannot be counted by them.
        """
        context = self._stream.codec_context
        if context.name not in _COUNTABLE_CODECS or self._form not in _COUNTABLE_FORMATS or context.field_order > 1:
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

    def _packets(self) -> Generator[Packet[VideoStream] | None, None, None]:
        """Yield the packets of the video; None where reading broke off."""
        from av.error import ExitError, FFmpegError

        torn: Packet[VideoStream] | None = (
            None  # held back: the last, where a film is cut short, shows half a picture
        )
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                self._broken = "nothing more has come" if isinstance(error, ExitError) else reason(error)
                yield None
                return
            if packet is None:
                break
            if packet.size and packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * float(packet.time_base)
                video = packet.stream is self._stream
                self._came[video] = max(self._came[video], end)
            if packet.stream is self._stream:
                if torn is not None and packet.size:
                    yield torn
                    torn = None
                if packet.size and packet.is_corrupt:
                    torn = cast("Packet[VideoStream]", packet)
                else:
                    yield cast("Packet[VideoStream]", packet)
        if torn is not None:
            self._broken = "the next is not whole"
        elif (
            self._form == "mpegts" and self._container.size > 0 and all(self._container.size % n for n in _TS_PACKETS)
        ):
            self._broken = "the file ends within a packet"
        else:
            self._broken = self._missing()

    def _missing(self) -> str | None:
        """Return what of the length that the film states did not come."""
        stream = self._stream
        if self.duration is None or self._form not in _STATE_THEIR_LENGTH:
            return None
        of_video = stream.duration is not None and stream.duration > 0
        came = self._came[True] if of_video else max(self._came.values())
        if self.duration - came <= max(_AMISS, 2 / (self.rate or _USUAL_RATE)):
            return None
        return f"{self.duration:.6g} s were announced"

    def _check_end(self) -> None:
        where = f"after frame {self._index} (at {self._time:g} s)" if self._index >= 0 else "before its first frame"
        if self._broken is not None:
            raise source_error(self._name, f"the film breaks off {where}: {self._broken}")
        if self._index < 0:
            raise source_error(self._name, "no frame of the film can be decoded")
        if self._lost:
            frames = "1 frame" if self._lost == 1 else f"{self._lost} frames"
            raise source_error(self._name, f"the film is damaged: {frames} of it could not be decoded")
