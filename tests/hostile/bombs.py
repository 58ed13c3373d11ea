"""Small files that unpack to much: to many pixels, frames, texts, scans, or to just below the limit."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from hostile.case import Case, Ends
from hostile.headers import chunk, gif, plain_tiff, png, tiff
from hostile.pictures import encoded, face, good

from mien.sources import MAX_PIXELS

_OVER = 12_000  # pixels square, above any limit
_BELOW = int(MAX_PIXELS**0.5)  # the largest square that is not refused for its pixels


def empty_png(side: int, *, depth: int = 8, colour: int = 0, channels: int = 1) -> bytes:
    """Return a valid black PNG: some hundred kilobytes that unpack to a thousand times as many."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side * channels * depth + 7) // 8)
    rows = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    return png(side, side, depth, colour, rows)


def _blank(form: str, mode: str, side: int, **options: object) -> bytes:
    return encoded(Image.new(mode, (side, side)), form, **options)


def _largest() -> Iterator[tuple[str, bytes]]:
    """Yield pictures that are as large as may be, in every way to store them."""
    for name, depth, colour, channels in (
        ("grey", 8, 0, 1),
        ("one-bit", 1, 0, 1),
        ("16-bits", 16, 0, 1),
        ("colour", 8, 2, 3),
        ("transparency", 8, 6, 4),
        ("transparency-and-16-bits", 16, 6, 4),
    ):
        yield f"png-of-{name}.png", empty_png(_BELOW, depth=depth, colour=colour, channels=channels)
    yield "jpeg.jpg", _blank("JPEG", "RGB", _BELOW, quality=5)
    yield "progressive-jpeg.jpg", _blank("JPEG", "RGB", _BELOW, quality=5, progressive=True)
    crowd = Image.new("RGB", (_BELOW, _BELOW))
    for i in range(4):
        crowd.paste(face(), (1500 * i, 1500 * i))
    yield "jpeg-with-small-faces.jpg", encoded(crowd, "JPEG", quality=80)
    yield "jpeg-of-inks.jpg", _blank("JPEG", "CMYK", _BELOW, quality=5)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg-to-be-turned.jpg", _blank("JPEG", "RGB", _BELOW, quality=5, exif=exif)
    yield "gif.gif", _blank("GIF", "P", _BELOW)
    yield "tiff.tiff", _blank("TIFF", "RGB", _BELOW, compression="tiff_deflate")
    yield "tiff-of-transparency.tiff", _blank("TIFF", "RGBA", _BELOW, compression="tiff_deflate")
    yield "tiff-of-inks.tiff", _blank("TIFF", "CMYK", _BELOW, compression="tiff_deflate")
    yield "webp.webp", _blank("WEBP", "RGB", int(_BELOW / 2**0.5), method=0, quality=1)
    yield "webp-of-transparency.webp", _blank("WEBP", "RGBA", int(_BELOW / 2**0.5), method=0, lossless=True)
    yield "jpeg2000.jpg", _blank("JPEG2000", "RGB", _BELOW // 2)
    yield "avif.avif", _blank("AVIF", "RGB", _BELOW, speed=10)
    try:
        import pillow_heif
    except ImportError:
        return
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (_BELOW, _BELOW))).save(stream, quality=10)
    yield "heic.heic", stream.getvalue()


def many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan comes again and again, each time decoded over the whole picture."""
    content = _blank("JPEG", "RGB", 4000, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + b"\xff\xd9"


def _frames(count: int) -> bytes:
    """Return a GIF of `count` frames that each cover a page of 4000x4000 pixels and take twenty bytes."""
    return gif(*[(1, 1)] * count, page=(4000, 4000))


def _animated_png(stated: int) -> bytes:
    content = good()["png.png"]
    return content[:33] + chunk(b"acTL", struct.pack(">II", stated, 0)) + content[33:]


def _many_chunks() -> bytes:
    content = good()["png.png"]
    packed = zlib.compress(bytes(40_000_000), 9)
    return content[:33] + chunk(b"zTXt", b"Comment\0\0" + packed) * 10 + content[33:]


def cases() -> Iterator[Case]:
    """Yield them."""
    over = {
        "grey.png": empty_png(_OVER),
        "colour.png": empty_png(_OVER, colour=2, channels=3),
        "jpeg.jpg": _blank("JPEG", "L", _OVER, quality=5),
        "gif.gif": _blank("GIF", "P", _OVER),
        "webp.webp": _blank("WEBP", "RGB", _OVER, method=0, quality=1),
        "tiff.tiff": _blank("TIFF", "1", _OVER, compression="group4"),
    }
    for name, content in over.items():
        yield Case(f"bomb-of-144-million-pixels-{name}", content, Ends.BADLY, name.startswith("g"))
    for name, content in _largest():
        yield Case(f"bomb-just-below-the-limit-{name}", content, Ends.EITHER, quick=False)
    packed = zlib.compress(bytes(100_000_000), 9)
    face_png = good()["png.png"]
    text = chunk(b"zTXt", b"Comment\0\0" + packed)
    yield Case("bomb-in-a-text-of-a-png.png", face_png[:33] + text + face_png[33:])
    yield Case("bomb-in-ten-texts-of-a-png.png", _many_chunks())
    profile = chunk(b"iCCP", b"name\0\0" + packed)
    yield Case("bomb-in-a-profile-of-a-png.png", face_png[:33] + profile + face_png[33:])
    rows = zlib.compress(bytes(200_000_000), 9)
    yield Case("bomb-of-rows-beyond-those-of-a-png.png", png(9, 9, 8, 2, rows), quick=False)
    entries = plain_tiff(9, 9) | {259: (3, 1, 8), 279: (4, 1, len(rows))}
    yield Case("bomb-of-rows-beyond-those-of-a-tiff.tiff", tiff(entries, data=rows), quick=False)
    yield Case("bomb-of-a-strip-for-all-rows-of-a-tiff.tiff", tiff(plain_tiff(60_000, 1_300)), quick=False)
    yield Case("bomb-of-a-thousand-scans-of-a-jpeg.jpg", many_scans(1000), quick=False)
    yield Case("bomb-of-five-hundred-frames-on-a-large-page.gif", _frames(500), quick=False)
    yield Case("bomb-of-four-billion-frames-that-are-not-there.png", _animated_png(2**32 - 1))
    yield Case("bomb-of-two-billion-frames-that-are-not-there.png", _animated_png(2**31 - 1))
    sizes = [(1, 1), (65_535, 65_535), (1, 1)]
    yield Case("bomb-in-the-second-frame-of-a-gif.gif", gif(*sizes), Ends.BADLY)
    stills = [Image.new("RGB", (3000, 3000), (i, 0, 0)) for i in range(3)]
    stream = io.BytesIO()
    stills[0].save(stream, "WEBP", save_all=True, append_images=stills[1:], method=0, quality=1)
    yield Case("bomb-of-large-frames-of-a-webp.webp", stream.getvalue(), quick=False)
    pages = io.BytesIO()
    tiny = face().resize((40, 44))
    tiny.save(pages, "TIFF", save_all=True, append_images=[tiny] * 500)
    yield Case("bomb-of-five-hundred-pages-of-a-tiff.tiff", pages.getvalue(), Ends.WELL, quick=False)
