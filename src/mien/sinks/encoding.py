"""A film as it is written: H.264 at the times of the original's frames, with its sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.drawing.layout import FIRST, lay_out
from mien.drawing.painting import paint
from mien.errors import OutputError, SourceError
from mien.results import Frame, Result
from mien.sinks.sound import Sound
from mien.sources.container import check_av, open_file, video_stream
from mien.whole import Partial, writing

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's names of the formats that are written here, by the suffixes of films."""

_TICK = Fraction(1, 90_000)  # seconds, where the original tells no time base: nearly all rates are multiples of it
_RATE = Fraction(25)  # frames a second, where nothing tells
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_CONTAINER_OPTIONS = {"mp4": {"movflags": "+faststart"}, "mov": {"movflags": "+faststart"}}
_HD = 720  # lines from which a film without a tag is taken to be of BT.709, and below for BT.601


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Do as `writing`, for what FFmpeg says too."""
    from av.error import FFmpegError

    with writing(target):
        try:
            yield
        except FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(f"{target}: the film cannot be written ({error.strerror or error})") from error


def _fitted(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture at the given width and height, between black bars where its shape is another."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    scale = min(size[0] / width, size[1] / height)
    across, down = (min(most, max(1, round(side * scale))) for most, side in zip(size, (width, height), strict=True))
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    fitted[top : top + down, left : left + across] = np.asarray(Image.fromarray(pixels).resize((across, down)))
    return fitted


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture with its last row and column repeated where their number is odd: H.264 takes only even."""
    down, across = pixels.shape[0] % 2, pixels.shape[1] % 2
    return np.pad(pixels, ((0, down), (0, across), (0, 0)), mode="edge") if down or across else pixels


class FilmFile:
    """One film that is being written."""

    def __init__(self, target: Path, original: Path | None, frame: Frame, time: float, overwrite: bool) -> None:
        try:
            check_av(str(target))
        except SourceError as error:
            raise OutputError(str(error)) from error
        import av

        self._target, self._original, self._size = target, original, (frame.width, frame.height)
        self._layout = FIRST
        self._waiting: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._usual = 1
        self._stack = ExitStack()
        self._partial = Partial(target, overwrite=overwrite)
        form = FORMATS[target.suffix.lower()]
        try:
            with _writing(target):
                # "file:", or a colon in the name would end what FFmpeg takes for a protocol
                self._output = av.open(
                    f"file:{self._partial.path}", "w", format=form, options=_CONTAINER_OPTIONS.get(form, {})
                )
            self._stack.callback(self._output.close)
            self._begin(time)
        except BaseException:
            self.give_up()
            raise

    def _begin(self, time: float) -> None:
        """Add the streams, whose time 0 is `time` in the original, and write the beginning of the file."""
        from av.error import ArgumentError

        self._tick, self._zero, rate = _TICK, Fraction(0), _RATE
        opened = self._open_original()
        if opened is not None:
            container, pictures = opened
            self._tick = pictures.time_base or _TICK
            self._zero = Fraction(container.start_time or 0, 1_000_000)
            rate = pictures.average_rate or _RATE
            rate = rate if 1 <= rate <= 1000 else _RATE
        self._usual = max(1, round(1 / rate / self._tick))
        self._first = round((Fraction(time) + self._zero) / self._tick)
        with _writing(self._target):
            self._pictures = self._add_pictures(rate)
            self._sound = None
            if opened is not None:
                self._sound = Sound(opened[0], self._output, self._target, float(self._first * self._tick))
            try:
                self._output.start_encoding()
            except ArgumentError as error:
                if self._sound is not None and self._sound.codecs:
                    raise self._sound.refused(self._target) from error
                raise

    def _open_original(self) -> tuple[InputContainer, VideoStream] | None:
        """Return the original and its pictures, open until the film is done; None where it is no film of a file."""
        if self._original is None or not self._original.is_file():  # a pipe has been read
            return None
        try:
            file = self._stack.enter_context(self._original.open("rb"))
            container = self._stack.enter_context(open_file(file, str(self._original)))
            return container, video_stream(container, str(self._original))
        except (OSError, SourceError):
            return None

    def _add_pictures(self, rate: Fraction) -> VideoStream:
        from av.video.reformatter import Colorspace, VideoReformatter

        width, height = (side + side % 2 for side in self._size)
        stream = self._output.add_stream(
            "libx264", rate=rate, options=_OPTIONS, width=width, height=height, time_base=self._tick
        )
        context = stream.codec_context
        self._matrix = Colorspace.ITU709 if height >= _HD else Colorspace.SMPTE170M
        context.colorspace = context.color_primaries = context.color_trc = 1 if height >= _HD else 6
        context.color_range = 1
        context.open(strict=False)
        self._reformatter = VideoReformatter()
        return stream

    def append(self, pixels: NDArray[np.uint8], result: Result) -> None:
        """Append a frame.

        Raises:
            OutputError: it cannot be written.

        """
        from av.video.frame import VideoFrame

        assert result.time is not None
        self._layout = lay_out(result.faces, (pixels.shape[1], pixels.shape[0]), self._layout)
        drawn = _even(_fitted(paint(pixels, self._layout), self._size))
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(drawn), format="yuv420p", dst_colorspace=self._matrix, dst_color_range="MPEG"
        )
        frame.time_base = self._tick
        frame.pts = round((Fraction(result.time) + self._zero) / self._tick) - self._first
        before, self._waiting = self._waiting, frame
        if before is not None:
            assert before.pts is not None
            frame.pts = max(frame.pts, before.pts + 1)  # equal times, and such that go back
            self._usual = frame.pts - before.pts
            self._write(before, self._usual)

    def finish(self, *, complete: bool) -> None:
        """Write what is left, and give the film its name where it is complete.

        Raises:
            OutputError: it cannot be written.

        """
        last = self._waiting
        if last is not None:
            assert last.pts is not None
            duration, over = self._end(last.pts)
            self._write(last, duration)
            with _writing(self._target):
                self._mux(self._pictures.encode(None))
                if self._sound is not None:
                    self._sound.copy(math.inf if over else float((last.pts + duration) * self._tick))
        with _writing(self._target):
            self._stack.close()
        if complete:
            self._partial.promote()

    def _end(self, last: int) -> tuple[int, bool]:
        """Return for how many ticks the last frame is shown, and whether it is the last of the original too."""
        from av.error import FFmpegError

        opened = self._open_original()
        if opened is None:
            return self._usual, True
        container, pictures = opened
        stamp = last + self._first
        end = stamp
        with suppress(FFmpegError):  # where it breaks off, it ends
            container.seek(stamp, stream=pictures)
        with suppress(FFmpegError, IndexError):  # the second as in `sources.video`
            for packet in container.demux(pictures):
                if packet.pts is None or packet.pts < stamp:
                    continue
                if packet.pts >= stamp + self._usual:
                    return self._usual, False
                end = max(end, packet.pts + (packet.duration or 0))
        return end - stamp or self._usual, True

    def give_up(self) -> None:
        """Remove what there is: without its end it cannot be played."""
        with suppress(Exception):
            self._stack.close()
        with suppress(OutputError):
            self._partial.discard()

    def _write(self, frame: VideoFrame, duration: int) -> None:
        """Write a frame that is shown for `duration` ticks, and the sound up to its end."""
        assert frame.pts is not None
        self._durations[frame.pts] = duration
        with _writing(self._target):
            self._mux(self._pictures.encode(frame))
            if self._sound is not None:
                self._sound.copy(float((frame.pts + duration) * self._tick))

    def _mux(self, packets: Sequence[Packet[VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts, self._usual)
            self._output.mux_one(packet)
