"""Films of every format, cut short, with bits turned over, and with heads that lie."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, partial

import av
import numpy as np

from hostile.case import Case, Ends
from hostile.damage import cut, flipped
from hostile.pictures import face

_FORMS = {
    "h264.mp4": ("mp4", "libx264"),
    "h264.mov": ("mov", "libx264"),
    "h264.mkv": ("matroska", "libx264"),
    "vp9.webm": ("webm", "libvpx-vp9"),
    "h264.ts": ("mpegts", "libx264"),
    "mpeg2.mpg": ("mpeg", "mpeg2video"),
    "mpeg4.avi": ("avi", "mpeg4"),
    "h264.flv": ("flv", "libx264"),
    "mpeg4.wmv": ("asf", "mpeg4"),
    "vp8.ogv": ("ogg", "libvpx"),
    "raw.y4m": ("yuv4mpegpipe", "wrapped_avframe"),
}
_SIZE = (160, 176)
_RATE = 24


def film(
    form: str = "mp4",
    codec: str = "libx264",
    *,
    frames: int = 8,
    size: tuple[int, int] = _SIZE,
    pixel_format: str = "yuv420p",
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    blank: bool = False,
    aspect: Fraction | None = None,
) -> bytes:
    """Return a film of a face that moves to the right, or of nothing; `times` are in units of 1/24 s."""
    target = io.BytesIO()
    base = np.asarray(face())
    with av.open(target, "w", format=form, options=options or {}) as container:
        stream = container.add_stream(codec, rate=_RATE)
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size = pixel_format, 4
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "qp": "30"}
        elif codec.startswith("libvpx"):
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        empty = np.zeros((size[1], size[0], 3), np.uint8) if blank else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(base, 3 * i, axis=1) if empty is None else empty)
            frame.pts, frame.time_base = i if times is None else times[i], Fraction(1, _RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


@cache
def good_films() -> dict[str, bytes]:
    """Return one film of every format, by its file's name."""
    return {name: film(form, codec) for name, (form, codec) in _FORMS.items()}


def _patched(content: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """Return a film with `value` at `offset` behind the name of its first such box."""
    at = content.index(box) + len(box) + offset
    return content[:at] + value + content[at + len(value) :]


def _lies() -> Iterator[tuple[str, bytes]]:
    mp4, mkv, avi = (good_films()[f"{name}"] for name in ("h264.mp4", "h264.mkv", "mpeg4.avi"))
    for size in (0, 65_535):
        yield f"says-{size}-pixels-square.mp4", _patched(mp4, b"avc1", 24, struct.pack(">HH", size, size))
        square = struct.pack("<II", size, size)
        yield f"says-{size}-pixels-square.avi", _patched(avi, b"avih", 4 + 32, square)
        yield f"says-{size}-pixels-square-in-its-stream.avi", _patched(avi, b"strf", 8, square)
        head = b"DKIF" + struct.pack("<HH4sHHIIII", 0, 32, b"VP80", size, size, 24, 1, 1, 0)
        yield f"says-{size}-pixels-square.ivf", head + struct.pack("<IQ", 9, 0) + bytes(9)
        yield f"says-{size}-pixels-square.y4m", b"YUV4MPEG2 W%d H%d F24:1 C420\nFRAME\n" % (size, size) + bytes(99)
    yield "says-two-billion-pixels-square.y4m", b"YUV4MPEG2 W2147483647 H2147483647 F24:1\nFRAME\n" + bytes(99)
    yield "says-minus-nine-pixels.y4m", b"YUV4MPEG2 W-9 H-9 F24:1\nFRAME\n" + bytes(99)
    yield "says-frames-of-no-time.y4m", b"YUV4MPEG2 W8 H8 F0:0\n" + (b"FRAME\n" + bytes(96)) * 3
    yield "says-four-billion-frames-a-second.y4m", b"YUV4MPEG2 W8 H8 F4294967295:1\n" + (b"FRAME\n" + bytes(96)) * 3
    for box, what in ((b"stsz", "sizes"), (b"stts", "times"), (b"stco", "places"), (b"stsc", "chunks")):
        offset = 8 if box == b"stsz" else 4
        yield f"says-four-billion-{what}.mp4", _patched(mp4, box, offset, b"\xff" * 4)
    yield "says-its-clock-stands-still.mp4", _patched(mp4, b"mdhd", 12, bytes(4))
    yield "says-its-clock-is-all-ones.mp4", _patched(mp4, b"mdhd", 12, b"\xff" * 4)
    yield "says-it-lasts-for-ever.mp4", _patched(mp4, b"mdhd", 16, b"\xff" * 4)
    yield "is-turned-by-a-matrix-of-zeros.mp4", _patched(mp4, b"tkhd", 40, bytes(36))
    yield "is-turned-by-a-matrix-of-ones.mp4", _patched(mp4, b"tkhd", 40, b"\xff" * 36)
    yield "has-an-index-as-large-as-it-can-say.mp4", _patched(mp4, b"moov", -8, b"\xff\xff\xff\xff")
    yield "has-a-box-of-no-size.mp4", _patched(mp4, b"trak", -8, bytes(4))
    yield "has-a-box-of-a-size-in-64-bits.mp4", _patched(mp4, b"mdat", -8, b"\0\0\0\1")
    yield "has-boxes-in-boxes.mp4", mp4[:32] + _nested(3000)
    yield "has-a-decoder-that-nobody-knows.mp4", mp4.replace(b"avc1", b"zzzz")
    yield "has-no-settings-for-its-decoder.mp4", mp4.replace(b"avcC", b"free")
    yield (
        "has-an-element-as-large-as-it-can-say.mkv",
        mkv.replace(b"\x1f\x43\xb6\x75", b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff", 1),
    )
    yield "has-pixels-of-no-width.mkv", _patched(mkv, b"\xb0", 1, b"\0")
    yield (
        "has-times-that-jump-for-a-century.mkv",
        film("matroska", times=[0, 1, 2, 3, 10**9, 10**9 + 1, 10**9 + 2, 10**9 + 3]),
    )
    yield (
        "has-a-list-of-other-files.mp4",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    )
    yield "has-a-script-of-other-files.mkv", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "has-the-address-of-another.mov", _reference()
    yield "is-a-lists-of-addresses.wmv", b"<asx version='3.0'><entry><ref href='http://127.0.0.1:9/'/></entry></asx>"
    yield "is-only-sound.mp4", _sound()
    yield "is-a-transport-stream-of-nothing.ts", (b"G\x1f\xff\x10" + b"\xff" * 184) * 2000
    yield "is-a-programme-of-nothing.mpg", b"\0\0\1\xba" + b"\xff" * 100_000
    yield "is-two-films-in-one.mp4", 2 * mp4
    yield "changes-its-size-midway.ts", good_films()["h264.ts"] + film("mpegts", size=(320, 352), blank=True)
    yield "changes-its-size-to-an-odd-one.flv", good_films()["h264.flv"] + film("flv", size=(18, 18), blank=True)[13:]
    yield "is-zeros.mp4", bytes(1 << 20)
    yield "is-ones.mkv", b"\x1aE\xdf\xa3" + b"\xff" * (1 << 16)


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = struct.pack(">I4s", len(inner) + 8, b"moov") + inner
    return inner


def _reference() -> bytes:
    """Return an index that says that the pictures lie in another file."""
    mp4 = good_films()["h264.mov"]
    at = mp4.index(b"url ")
    return mp4[: at + 4] + bytes(4) + mp4[at + 8 :]


def _sound() -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        for block in range(20):
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            silence.sample_rate, silence.pts = 48_000, block * 1024
            silence.planes[0].update(bytes(4096))
            container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return target.getvalue()


def _odd() -> Iterator[tuple[str, bytes]]:
    """Yield films that are whole, and out of the ordinary."""
    for pixels in ("yuv444p", "yuv422p", "yuvj420p", "yuv420p10le", "gray"):
        yield f"of-{pixels}.mp4", film(pixel_format=pixels)
    yield "of-one-frame.mp4", film(frames=1)
    yield "of-two-pixels-square.mp4", film(size=(2, 2), blank=True)
    yield "of-a-line.mp4", film(size=(4000, 2), blank=True)
    yield "of-oblong-pixels.mp4", film(aspect=Fraction(1, 7))
    yield "of-pixels-a-thousand-times-as-wide-as-high.mp4", film(aspect=Fraction(1000, 1))
    yield "in-fragments.mp4", film(options={"movflags": "frag_keyframe+empty_moov"})
    yield "that-begins-late.mkv", film("matroska", times=[10**6 + i for i in range(8)])
    yield "of-frames-an-hour-apart.mkv", film("matroska", times=[i * 3600 * _RATE for i in range(8)])
    yield "of-png-pictures.mov", film("mov", "png", pixel_format="rgb24")


def _bombs() -> Iterator[tuple[str, Callable[[], bytes], Ends]]:
    over, under = Ends.BADLY, Ends.WELL
    large = (7680, 4320)
    yield "of-16-million-pixels.mp4", partial(film, frames=6, size=(5312, 2988), blank=True), under
    yield "of-4k.mkv", partial(film, "matroska", frames=12, size=(4096, 2160), blank=True), under
    yield "of-16-million-pixels.webm", partial(film, "webm", "libvpx-vp9", size=(5312, 2988), blank=True), under
    yield "of-33-million-pixels.mp4", partial(film, frames=3, size=large, blank=True), over
    yield "of-33-million-pixels.webm", partial(film, "webm", "libvpx-vp9", frames=2, size=large, blank=True), over
    packed = partial(film, "mov", "png", frames=2, size=large, blank=True, pixel_format="rgb24")
    yield "of-33-million-pixels-of-png.mov", packed, over
    yield "of-79-million-pixels.mp4", partial(film, frames=3, size=(8896, 8896), blank=True), over
    yield "of-ten-thousand-frames.mp4", partial(film, frames=10_000, size=(32, 32), blank=True), under
    oblong = partial(film, frames=3, size=(3000, 3300), aspect=Fraction(8, 1), blank=True)
    yield "of-frames-that-become-79-million-pixels.mp4", oblong, over


def cases() -> Iterator[Case]:
    """Yield them."""
    for name, content in good_films().items():
        # of what is a stream, less is a shorter film
        yield from cut(f"film-{name}", content, ends=Ends.BADLY if name.endswith(("mp4", "mov")) else Ends.EITHER)
        yield from flipped(f"film-{name}", content, seeds=3)
    names = list(good_films())
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        kind, suffix = name.split(".")
        yield Case(
            f"film-{suffix}-of-{kind}-called-{other.split('.')[1]}.{other.split('.')[1]}",
            good_films()[name],
            Ends.WELL,
        )
    yield Case("film-called-a-picture.jpg", good_films()["h264.mp4"], Ends.WELL)
    for name, content in _lies():
        yield Case(f"film-that-{name}", content)
    for name, content in _odd():
        yield Case(f"film-{name}", content, Ends.WELL)
    for name, make, ends in _bombs():
        yield Case(f"film-bomb-{name}", make, ends, quick=False)
