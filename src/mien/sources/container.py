"""What is in a film: its format, its video, and what it states of itself; nothing is decoded yet."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from mien.errors import one_line
from mien.limits import MAX_FILM_PIXELS
from mien.sources.naming import source_error
from mien.sources.opening import explain

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,asf,ogg,yuv4mpegpipe,mxf,nut,rm,dv,wtv,gxf"
)
"""FFmpeg's names of the formats that are a film in one file: none of them has it open another."""

_MANY_MORE = 3
"""Times the limit. Up to there, which is beyond 8K, it can be said of every film how large its frames are."""

_MOST = 2**31 - 1  # FFmpeg's own limit

HAVE_NO_TIMES = frozenset({"mpegvideo", "m4v", "h264", "hevc", "obu"})


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


def open_file(file: BinaryIO, name: str, *, known: bool = True, max_pixels: int = MAX_FILM_PIXELS) -> InputContainer:
    """Open a film at the beginning of a file, which stays the caller's to close.

    The file is handed over open, so that nothing in its name, and nothing it says, opens another.

    Args:
        file: can seek.
        name: what to call it in errors.
        known: it looks like a film.
        max_pixels: of the frames that are wanted; opening a film decodes some, and to those of many more it shuts its
            eyes, so that only what the file says of their size is known.

    Raises:
        SourceError: it is not a film, or damaged at its beginning.

    """
    check_av(name)
    import av

    try:
        file.seek(0)
        options = {
            "format_whitelist": FORMATS,
            "protocol_whitelist": "none",
            "max_pixels": str(min(_MANY_MORE * max_pixels, _MOST)),
        }
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
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, or return FFmpeg's error where that cannot be, as in a file that has become empty.

        An exception PyAV would hold back, and print where another comes before anybody asks for it.
        """
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL


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


def check_av(name: str) -> None:
    """Check that PyAV is there and can be loaded.

    Raises:
        SourceError: it cannot; the message begins with `name`.

    """
    try:
        import av  # noqa: F401
    except Exception as error:  # a broken binary package fails in ways of its own
        told = one_line(str(error).strip().partition("\n")[0])
        raise source_error(
            name,
            f"PyAV, by which films are read and written, cannot be loaded ({told}); "
            "reinstall it: pip install --force-reinstall av",
        ) from error


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
