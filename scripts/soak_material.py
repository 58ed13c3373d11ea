"""What the soak sends: pictures and films, good and bad, all made of examples/; and a film without an end."""

from __future__ import annotations

import io
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from PIL import Image

from mien.evaluation.scenes import RATE, scene, write_film

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True, slots=True)
class Sent:
    """A file to send.

    Attributes:
        name: of the file.
        content: of the file.
        statuses: with which it may be answered.

    """

    name: str
    content: bytes
    statuses: frozenset[int] = frozenset({200})


def pictures() -> list[Sent]:
    """Return pictures with and without faces, in several formats, of 0.01 to 3 million pixels."""
    made = [Sent(path.name, path.read_bytes()) for path in sorted(EXAMPLES.glob("*.jpg"))]
    forms = [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tiff"), ("BMP", "bmp"), ("GIF", "gif")]
    with Image.open(EXAMPLES / "three_people.jpg") as people, Image.open(EXAMPLES / "astronaut.jpg") as one:
        for number, (form, suffix) in enumerate(forms):
            made.append(_encoded(people.resize((480 + 61 * number, 270 + 37 * number)), form, f"people.{suffix}"))
            made.append(_encoded(one.resize((120 + 53 * number,) * 2), form, f"one.{suffix}"))
        made.append(_encoded(one.convert("L"), "JPEG", "grey.jpg"))
        made.append(_encoded(one.convert("CMYK"), "JPEG", "cmyk.jpg"))
        made.append(_encoded(one.convert("RGBA").rotate(8), "PNG", "transparent.png"))
        made.append(_encoded(people.rotate(90, expand=True), "JPEG", "upright.jpg"))
    made.append(_encoded(Image.new("RGB", (640, 360), (70, 90, 120)), "JPEG", "nobody.jpg"))
    made.append(_encoded(Image.fromarray(scene(30).pixels), "JPEG", "thirty.jpg"))
    made.append(_encoded(Image.fromarray(scene(6, (2048, 1536)).pixels), "JPEG", "large.jpg"))
    return made


def photos() -> list[Sent]:
    """Return what cameras take, of 12 million pixels."""
    return [_encoded(Image.fromarray(scene(6, (4000, 3000)).pixels), "JPEG", "photo.jpg")]


def bad_pictures() -> list[Sent]:
    """Return what is no picture, or one that is damaged or too large."""
    whole = (EXAMPLES / "astronaut.jpg").read_bytes()
    png = _encoded(Image.new("RGB", (64, 64)), "PNG", "").content
    head = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + png[24:29]
    vast = png[:12] + head + zlib.crc32(head).to_bytes(4, "big") + png[33:]
    files = {
        "cut-short.jpg": whole[: len(whole) // 3],
        "cut-at-its-head.jpg": whole[:300],
        "text.jpg": b"no picture at all\n" * 200,
        "zeros.png": bytes(4096),
        "says-it-is-vast.png": vast,
        "cut-short.mp4": films()[0].content[:2000],
        "flipped.webp": bytes(byte ^ 0x5A if place % 97 == 0 else byte for place, byte in enumerate(whole)),
    }
    return [Sent(name, content, frozenset({422})) for name, content in files.items()]


def films() -> list[Sent]:
    """Return films of one to three seconds."""
    made = []
    for faces, size, seconds, form, suffix in (
        (1, (320, 240), 1.0, "mp4", "mp4"),
        (6, (480, 360), 1.2, "matroska", "mkv"),
        (1, (640, 360), 3.0, "mov", "mov"),
    ):
        file = io.BytesIO()
        write_film(file, faces, size, seconds, form=form)
        made.append(Sent(f"{faces}-faces.{suffix}", file.getvalue(), frozenset({202})))
    return made


def bad_films() -> list[Sent]:
    """Return what is no film, or one that breaks off."""
    mkv = next(film.content for film in films() if film.name.endswith("mkv"))
    return [
        Sent("text.mp4", b"no film at all\n" * 200, frozenset({422})),
        Sent("cut-short.mkv", mkv[: len(mkv) // 2], frozenset({202})),  # which its records say
    ]


def frames() -> list[bytes]:
    """Return a second of what a browser sends of a camera."""
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        still = image.convert("RGB").crop((32, 0, 480, 336))
    moved = [still.transform(still.size, Image.Transform.AFFINE, (1, 0, -3 * i, 0, 1, 0)) for i in range(8)]
    return [_encoded(image, "JPEG", "").content for image in moved]


class Target(Protocol):
    """What PyAV writes to."""

    def write(self, data: bytes, /) -> int:
        """Take bytes."""
        ...


class Endless:
    """A film of one face as a transport stream that goes on, at its own pace, for as long as somebody reads it."""

    def __init__(self) -> None:
        """Make the part that is shown over and over again."""
        part = io.BytesIO()
        write_film(part, 1, (320, 240), 7.5)
        self._part = part.getvalue()

    def write_to(self, target: Target) -> None:
        """Write it to `target` until that raises an error, as it does once its reader has gone."""
        began, shown, copy = time.monotonic(), 0, None
        with suppress(OSError, av.error.FFmpegError), av.open(target, "w", format="mpegts") as container:
            while True:
                with av.open(io.BytesIO(self._part), "r") as part:
                    source = part.streams.video[0]
                    copy = copy or container.add_stream_from_template(source)
                    ticks = round(1 / RATE / float(source.time_base or 1))
                    packets = [packet for packet in part.demux(source) if packet.dts is not None]
                    for number, packet in enumerate(packets, shown + 1):
                        packet.pts, packet.dts = ((t or 0) + shown * ticks for t in (packet.pts, packet.dts))
                        packet.stream = copy
                        container.mux(packet)
                        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                    shown += len(packets)


def _encoded(image: Image.Image, form: str, name: str) -> Sent:
    file = io.BytesIO()
    image.save(file, form)
    return Sent(name, file.getvalue())
