"""Small files that unpack to much: to many pixels, frames, texts, scans, or to just below the limit."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

from PIL import Image

from mien.sources import MAX_PIXELS

from hostile.case import Case, Ends
from hostile.headers import chunk, gif, plain_tiff, png, tiff
from hostile.pictures import encoded, face, good

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


def _largest() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield pictures that are as large as may be, in every way to store them."""
    for name, depth, colour, channels in (
        ("grey", 8, 0, 1),
        ("one-bit", 1, 0, 1),
        ("16-bits", 16, 0, 1),
        ("colour", 8, 2, 3),
        ("transparency", 8, 6, 4),
        ("transparency-and-16-bits", 16, 6, 4),
    ):
        yield f"png-of-{name}.png", partial(empty_png, _BELOW, depth=depth, colour=colour, channels=channels)
    yield "jpeg.jpg", partial(_blank, "JPEG", "RGB", _BELOW, quality=5)
    yield "progressive-jpeg.jpg", partial(_blank, "JPEG", "RGB", _BELOW, quality=5, progressive=True)
    yield "jpeg-with-small-faces.jpg", _small_faces
    yield "jpeg-of-inks.jpg", partial(_blank, "JPEG", "CMYK", _BELOW, quality=5)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg-to-be-turned.jpg", partial(_blank, "JPEG", "RGB", _BELOW, quality=5, exif=exif)
    yield "gif.gif", partial(_blank, "GIF", "P", _BELOW)
    yield "tiff.tiff", partial(_blank, "TIFF", "RGB", _BELOW, compression="tiff_deflate")
    yield "tiff-of-transparency.tiff", partial(_blank, "TIFF", "RGBA", _BELOW, compression="tiff_deflate")
    yield "tiff-of-inks.tiff", partial(_blank, "TIFF", "CMYK", _BELOW, compression="tiff_deflate")
    yield "webp.webp", partial(_blank, "WEBP", "RGB", int(_BELOW / 2.5**0.5), method=0, quality=1)
    yield (
        "webp-of-transparency.webp",
        partial(_blank, "WEBP", "RGBA", int(_BELOW / 2.5**0.5), method=0, lossless=True),
    )
    yield "jpeg2000.jpg", partial(_blank, "JPEG2000", "RGB", _BELOW // 2)
    yield "avif.avif", partial(_blank, "AVIF", "RGB", int(_BELOW / 1.5**0.5), speed=10)
    if find_spec("pillow_heif") is not None:
        yield "heic.heic", _heic


def _small_faces() -> bytes:
    crowd = Image.new("RGB", (_BELOW, _BELOW))
    for i in range(4):
        crowd.paste(face(), (1500 * i, 1500 * i))
    return encoded(crowd, "JPEG", quality=80)


def _heic() -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (_BELOW, _BELOW))).save(stream, quality=10)
    return stream.getvalue()


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


def _rows() -> bytes:
    return zlib.compress(bytes(200_000_000), 9)


def _rows_of_a_tiff() -> bytes:
    rows = _rows()
    return tiff(plain_tiff(9, 9) | {259: (3, 1, 8), 279: (4, 1, len(rows))}, data=rows)


def _in_a_png(kind: bytes, head: bytes) -> bytes:
    content, packed = good()["png.png"], zlib.compress(bytes(100_000_000), 9)
    return content[:33] + chunk(kind, head + packed) + content[33:]


def _large_frames() -> bytes:
    stills = [Image.new("RGB", (3000, 3000), (i, 0, 0)) for i in range(3)]
    return encoded(stills[0], "WEBP", save_all=True, append_images=stills[1:], method=0, quality=1)


def _pages() -> bytes:
    tiny = face().resize((80, 88))
    return encoded(tiny, "TIFF", save_all=True, append_images=[tiny] * 500)


def cases() -> Iterator[Case]:
    """Yield them."""
    over: dict[str, Callable[[], bytes]] = {
        "grey.png": partial(empty_png, _OVER),
        "colour.png": partial(empty_png, _OVER, colour=2, channels=3),
        "jpeg.jpg": partial(_blank, "JPEG", "L", _OVER, quality=5),
        "gif.gif": partial(_blank, "GIF", "P", _OVER),
        "webp.webp": partial(_blank, "WEBP", "RGB", _OVER, method=0, quality=1),
        "jpeg2000.jpg": partial(_blank, "JPEG2000", "L", 4000),
        "tiff.tiff": partial(_blank, "TIFF", "1", _OVER, compression="group4"),
    }
    for name, make in over.items():
        yield Case(f"bomb-above-the-limit-{name}", make, Ends.BADLY, name == "grey.png")
    for name, make in _largest():
        yield Case(f"bomb-just-below-the-limit-{name}", make, Ends.WELL, quick=False)
    text, profile = partial(_in_a_png, b"zTXt", b"Comment\0\0"), partial(_in_a_png, b"iCCP", b"name\0\0")
    yield Case("bomb-in-a-text-of-a-png.png", text, quick=False)
    yield Case("bomb-in-a-profile-of-a-png.png", profile, quick=False)
    yield Case("bomb-in-ten-texts-of-a-png.png", _many_chunks, quick=False)
    yield Case("bomb-of-rows-beyond-those-of-a-png.png", lambda: png(9, 9, 8, 2, _rows()), quick=False)
    yield Case("bomb-of-rows-beyond-those-of-a-tiff.tiff", _rows_of_a_tiff, quick=False)
    yield Case("bomb-of-a-strip-for-all-rows-of-a-tiff.tiff", tiff(plain_tiff(60_000, 800)))
    yield Case("bomb-of-a-thousand-scans-of-a-jpeg.jpg", partial(many_scans, 1000), Ends.BADLY, quick=False)
    yield Case("bomb-of-thirty-frames-on-a-large-page.gif", partial(_frames, 30), quick=False)
    yield Case("bomb-of-four-billion-frames-that-are-not-there.png", _animated_png(2**32 - 1))
    yield Case("bomb-of-two-billion-frames-that-are-not-there.png", _animated_png(2**31 - 1))
    yield Case("bomb-in-the-second-frame-of-a-gif.gif", gif((1, 1), (65_535, 65_535), (1, 1)), Ends.BADLY)
    yield Case("bomb-of-large-frames-of-a-webp.webp", _large_frames, quick=False)
    yield Case("bomb-of-five-hundred-pages-of-a-tiff.tiff", _pages, Ends.WELL, quick=False)
