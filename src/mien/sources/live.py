"""Cameras and network streams: always the newest frame, never a queue."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mien.ahead import LOST
from mien.errors import UsageError
from mien.results import Frame
from mien.sources.clock import Clock
from mien.sources.container import FORMATS, HAVE_NO_TIMES, check_av, reason, stated_rate, video_stream
from mien.sources.conversion import Converter
from mien.sources.naming import source_error, without_password
from mien.sources.selection import Selection, Verdict
from mien.sources.video import Film

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

OPEN_TIMEOUT = 10.0
READ_TIMEOUT = 10.0
"""Seconds after which a stream that says nothing is given up."""

# Nothing that comes over the network may have a file of this machine read.
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtmp,rtmpe,rtmps,rtmpt,srt,crypto,data"
_FORMATS = f"{FORMATS},hls,dash,rtsp,rtp,sdp,mpjpeg,mjpeg,live_flv"
_WITHOUT_CLOCK = HAVE_NO_TIMES | {"mpjpeg", "mjpeg"}

_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def open_live(source: str, name: str, max_pixels: int) -> Live | Film:
    """Open a camera or a URL; what has an end and can be gone through, such as a file on a web server, is a film.

    Args:
        source: `camera:0`, `camera:/dev/video2`, or a URL. On macOS a camera's number is that of avfoundation, on
            Windows its name is that of dshow (`camera:Integrated Webcam`); neither has been tried.
        name: what to call it in frames and errors.
        max_pixels: refuse frames of more than so many pixels.

    Raises:
        SourceError: it is not there, does not answer in `OPEN_TIMEOUT`, or no video is in it.

    """
    if source.lower().startswith("camera:"):
        return Live(_open_camera(source.partition(":")[2], name), name, max_pixels)
    container = _open_url(source, name)
    if _is_film(container):
        ready = [container]
        return Film(lambda: ready.pop() if ready else _open_url(source, name), name, max_pixels)
    return Live(container, name, max_pixels)


def _is_film(container: InputContainer) -> bool:
    return container.duration is not None and container.duration > 0 and container.size > 0


def _open_url(url: str, name: str) -> InputContainer:
    check_av(name)
    import av

    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": _PROTOCOLS,
        "rtsp_flags": "prefer_tcp",  # over UDP, lost packets smear the picture
    }
    try:
        return av.open(url, "r", options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT), metadata_errors="replace")
    except av.error.ExitError as error:
        raise source_error(name, f"nothing has come for {OPEN_TIMEOUT:g} s") from error
    except av.error.InvalidDataError as error:
        raise source_error(
            name, f"what comes is no film or stream that can be read here ({reason(error)})"
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise source_error(name, f"cannot be opened ({without_password(reason(error))})") from error


def _open_camera(which: str, name: str) -> InputContainer:
    check_av(name)
    import av

    form = _CAMERA_FORMATS.get(sys.platform, "v4l2")
    file = {"v4l2": f"/dev/video{which}" if which.isdecimal() else which, "dshow": f"video={which}"}.get(form, which)
    if form == "v4l2" and not os.path.exists(file):
        raise source_error(name, f"there is no such camera ({file}); {_existing_cameras()}")
    if not _has_format(form):
        raise source_error(
            name,
            f"this PyAV was built without {form}, and cannot read cameras: install one built against the FFmpeg of "
            f"this system (pip install --no-binary av av), or send the camera's pictures to a stream and name that "
            f"({_sending(form, file)}; then udp://127.0.0.1:9000)",
        )
    try:
        return av.open(file, "r", format=form, timeout=(OPEN_TIMEOUT, READ_TIMEOUT), metadata_errors="replace")
    except av.error.ExitError as error:
        raise source_error(name, f"nothing has come for {OPEN_TIMEOUT:g} s") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise source_error(name, f"the camera {file} cannot be opened ({reason(error)})") from error


def _sending(form: str, file: str) -> str:
    return f"ffmpeg -f {form} -i {file} -f mpegts udp://127.0.0.1:9000"


def _has_format(form: str) -> bool:
    from av.format import ContainerFormat

    try:
        return ContainerFormat(form, "r").is_input
    except ValueError:
        return False


def _existing_cameras() -> str:
    numbers = sorted(int(path.name[5:]) for path in Path("/dev").glob("video*") if path.name[5:].isdecimal())
    if not numbers:
        return "no camera is connected (there is no /dev/video*)"
    return "there is " + ", ".join(f"camera:{number}" for number in numbers)


class Live:
    """A camera or stream that a thread of its own decodes, so that the newest frame is at hand.

    Attributes:
        live: frames are dropped rather than queued.
        duration: None: it ends when it ends.
        rate: frames a second on average, where it states them.

    """

    live = True
    duration = None

    def __init__(self, container: InputContainer, name: str, max_pixels: int) -> None:
        """Take over an opened container.

        Raises:
            SourceError: no video is in it that can be decoded here, or it is too large.

        """
        self._container, self._name = container, name
        try:
            self._stream = stream = video_stream(container, name)
            self._converter = Converter(stream.sample_aspect_ratio, name, max_pixels)
            if stream.width and stream.height:
                self._converter.check_size(stream.width, stream.height, name)
        except BaseException:
            container.close()
            raise
        self.rate = stated_rate(stream)
        self._mailbox = _Mailbox()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Tell the thread to end: it does with the next packet that comes, or after `READ_TIMEOUT`."""
        self._mailbox.closed = True
        if self._thread is None:
            self._container.close()

    def frames(self, selection: Selection) -> Generator[Frame, None, None]:
        """Yield the newest of the selected frames each time, numbered among all that came; once only.

        Times are seconds since the first frame.

        Raises:
            SourceError: the stream breaks off, or nothing comes for `READ_TIMEOUT`; a frame is too large; nothing
                is selected.

        """
        picker, came = selection.picker(), False
        self._thread = threading.Thread(
            target=_fill, args=(self._mailbox, self._container, self._stream), name=f"mien {self._name}", daemon=True
        )
        _reading[self._thread] = self._mailbox
        self._thread.start()
        try:
            while (latest := self._mailbox.take(self._name)) is not None:
                index, moment, decoded = latest
                came = True
                verdict = picker.verdict(index, moment)
                if verdict is Verdict.STOP:
                    break
                if verdict is Verdict.TAKE:
                    yield self._converter.frame(decoded, index, moment)
            if not came:
                raise source_error(self._name, "it has ended, and no frame of it could be decoded")
            picker.check(self._name)
        finally:
            self.close()


_reading: WeakKeyDictionary[threading.Thread, _Mailbox] = WeakKeyDictionary()


@atexit.register
def _end() -> None:
    """Wait for the threads that still read: the interpreter cannot go without tearing them out of FFmpeg."""
    for mailbox in list(_reading.values()):
        mailbox.closed = True
    for thread in list(_reading):
        thread.join(READ_TIMEOUT + _PATIENCE)


class _Mailbox:
    """Room for one frame between the thread that decodes and the one that takes."""

    def __init__(self) -> None:
        self.closed = self._lost = False  # closed: nobody takes any more
        self._changed = threading.Condition()
        self._latest: tuple[int, float, VideoFrame] | None = None
        self._over = False
        self._broken: str | None = None

    def put(self, index: int, moment: float, decoded: VideoFrame) -> None:
        """Put a frame in place of the one that nobody has taken."""
        with self._changed:
            self._latest = (index, moment, decoded)
            self._changed.notify()

    def finish(self, broken: str | None) -> None:
        """Say that no more comes, and why unless the stream has just ended."""
        with self._changed:
            self._over, self._broken = True, broken
            self._changed.notify()

    def take(self, name: str) -> tuple[int, float, VideoFrame] | None:
        """Return the number, time and newest frame once there is one; None at the end.

        Raises:
            SourceError: the stream has broken off, or nothing comes.
            UsageError: this is a fork of the process that reads it.

        """
        if self._lost:
            raise UsageError(LOST)
        with self._changed:
            came = self._changed.wait_for(lambda: self._latest is not None or self._over, READ_TIMEOUT + _PATIENCE)
            latest, self._latest = self._latest, None
            if latest is None and self._broken is not None:
                raise source_error(name, self._broken)
        if not came:
            raise source_error(name, f"nothing has come for {READ_TIMEOUT:g} s")
        return latest

    def lose(self) -> None:
        """The thread that puts frames in is in another process, of which this is a fork."""
        self._lost = True


def _fork() -> None:
    for mailbox in list(_reading.values()):
        mailbox.lose()
    _reading.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)

_PATIENCE = 1.0  # seconds more for the thread to say itself what is wrong


def _fill(mailbox: _Mailbox, container: InputContainer, stream: VideoStream) -> None:
    """Decode until the stream ends or the mailbox is closed; close the container."""
    from av.error import ExitError, FFmpegError

    broken = None
    try:
        for index, (moment, decoded) in enumerate(_decoded(mailbox, container, stream)):
            mailbox.put(index, moment, decoded)
    except ExitError:
        broken = f"nothing has come for {READ_TIMEOUT:g} s"
    except (FFmpegError, OSError) as error:
        broken = f"the stream has broken off ({without_password(reason(error))})"
    except Exception as error:  # whatever it is, it must not die unseen with this thread
        broken = f"the stream cannot be read ({error!r})"
    finally:
        container.close()
        mailbox.finish(broken)


def _packets(container: InputContainer, stream: VideoStream) -> Generator[Packet[VideoStream] | None, None, None]:
    """Yield what comes, and at the end what has the decoder give all that it still has."""
    from av.error import FFmpegError

    try:
        yield from container.demux(stream)
    except FFmpegError as error:
        # so FFmpeg calls the end of an answer over HTTP that has not stated its length, though they all end like that
        endless = container.name.lower().startswith("http") and container.size <= 0
        if error.errno != errno.EIO or not endless:
            raise
        yield None


def _decoded(
    mailbox: _Mailbox, container: InputContainer, stream: VideoStream
) -> Generator[tuple[float, VideoFrame], None, None]:
    """Yield times and frames."""
    from av.error import FFmpegError

    clocked = container.format.name.split(",")[0] not in _WITHOUT_CLOCK
    clock: Clock | None = None
    began: float | None = None
    for packet in _packets(container, stream):
        if mailbox.closed:
            return
        decoded_frames: list[VideoFrame] = []
        with suppress(FFmpegError):  # on the network packets get lost: the next is whole
            decoded_frames = stream.codec_context.decode(packet)
        for decoded in decoded_frames:
            arrival = time.monotonic()
            if began is None:
                began = arrival
            if not clocked or decoded.pts is None:
                yield round(arrival - began, 6), decoded
                continue
            if clock is None:
                clock = Clock(stream, decoded.pts * float(stream.time_base or 0))
            yield clock.time(decoded), decoded
