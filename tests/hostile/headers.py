"""Pictures whose heads state sizes that are huge, zero or negative, or that contradict what follows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from hostile.case import Case, Ends
from hostile.pictures import good

_HUGE = (65_535, 2**31 - 1)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(width: int, height: int, depth: int, colour: int, packed: bytes, *before: bytes) -> bytes:
    """Return a PNG of compressed rows, each of which begins with its filter; `before` are chunks of its head."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def gif(*sizes: tuple[int, int], page: tuple[int, int] = (1, 1)) -> bytes:
    """Return a GIF whose frames claim such sizes."""
    frames = (b"!\xf9\4\x08\5\0\0\0," + struct.pack("<4HB", 0, 0, *size, 0) + b"\2\2\x4c\1\0" for size in sizes)
    return b"GIF89a" + struct.pack("<2H", *page) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b"".join(frames) + b";"


def jpeg(width: int, height: int) -> bytes:
    """Return a good JPEG whose head claims another size."""
    content = bytearray(good()["jpeg.jpg"])
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def webp(width: int, height: int) -> bytes:
    """Return an extended WebP whose canvas claims a size, around the picture of another."""
    inner = good()["webp.webp"][12:]
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + inner
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(width: int, height: int, *, depth: int = 24, packing: int = 0, data: bytes = bytes(64)) -> bytes:
    """Return a BMP."""
    colours = bytes(4 << depth) if depth <= 8 else b""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, packing, len(data), 0, 0, 0, 0)
    place = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", place + len(data), 0, 0, place) + head + colours + data


def tiff(entries: dict[int, tuple[int, int, int]], *, data: bytes = bytes(64), following: int = 0) -> bytes:
    """Return a TIFF with one directory; entries are type, count and value by tag."""
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following) + data


def plain_tiff(width: int, height: int) -> dict[int, tuple[int, int, int]]:
    """Return the entries of a grey TIFF of 8 bits, whose pixels follow its directory."""
    place = 8 + 2 + 12 * 10 + 4
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: place, 277: 1, 278: height, 279: 64, 284: 1}
    return {tag: (4 if tag in (256, 257, 273, 278, 279) else 3, 1, value) for tag, value in values.items()}


def _huge() -> Iterator[tuple[str, bytes]]:
    for size in _HUGE:
        yield f"png-says-{size}-pixels-square.png", png(size, size, 8, 2, zlib.compress(bytes(64)))
        yield f"portable-says-{size}-pixels-square.ppm", b"P6 %d %d 255\n" % (size, size) + bytes(64)
        yield f"bmp-says-{size}-pixels-square.bmp", bmp(size, size)
        yield f"bmp-of-one-bit-says-{size}-pixels-square.bmp", bmp(size, size, depth=1)
        yield f"tiff-says-{size}-pixels-square.tiff", tiff(plain_tiff(size, size))
        yield f"png-says-{size}-pixels-wide.png", png(size, 1, 8, 0, zlib.compress(bytes(64)))
        yield f"png-says-{size}-pixels-high.png", png(1, size, 8, 0, zlib.compress(bytes(64)))
    yield "jpeg-says-65500-pixels-square.jpg", jpeg(65_500, 65_500)
    yield "jpeg-says-65535-pixels-square.jpg", jpeg(65_535, 65_535)
    yield "jpeg-says-9000-pixels-wide.jpg", jpeg(9_000, 176)
    yield "gif-frame-says-65535-pixels-square.gif", gif((65_535, 65_535))
    yield "gif-page-says-65535-pixels-square.gif", gif((1, 1), page=(65_535, 65_535))
    yield "gif-second-frame-says-65535-pixels-square.gif", gif((1, 1), (65_535, 65_535))
    yield "webp-canvas-says-16777216-pixels-wide.webp", webp(1 << 24, 1 << 24)
    yield "webp-canvas-says-twice-its-picture.webp", webp(320, 352)
    yield "bmp-says-a-million-colours.bmp", bmp(9, 9)[:46] + struct.pack("<I", 1_000_000) + bmp(9, 9)[50:]
    yield "portable-says-a-number-of-a-million-digits.ppm", b"P6 " + b"9" * 1_000_000 + b" 9 255\n"
    yield "portable-says-nothing-but-a-comment.ppm", b"P6\n#" + b" " * 1_000_000
    yield "portable-of-words.ppm", b"P3 3 3 255\nred green blue " * 4
    yield "portable-says-no-brightness.pgm", b"P5 9 9 0\n" + bytes(81)
    yield "portable-says-a-brightness-of-a-million.pgm", b"P5 9 9 1000000\n" + bytes(999)
    for name in ("jpeg2000.jpg", "avif.avif", "heic.heic"):
        if (content := good().get(name)) is None:
            continue
        box = b"ihdr" if name == "jpeg2000.jpg" else b"ispe"
        at = content.index(box) + 4 + (0 if box == b"ihdr" else 4)
        for size in (0, *_HUGE):
            changed = content[:at] + struct.pack(">II", size, size) + content[at + 8 :]
            stem, suffix = name.split(".")
            yield f"{stem}-says-{size}-pixels-square.{suffix}", changed


def _none() -> Iterator[tuple[str, bytes]]:
    for width, height in ((0, 0), (0, 9), (9, 0)):
        size = f"{width}x{height}"
        yield f"png-of-{size}.png", png(width, height, 8, 2, zlib.compress(b""))
        yield f"jpeg-of-{size}.jpg", jpeg(width, height)
        yield f"gif-of-{size}.gif", gif((width, height), page=(width, height))
        yield f"bmp-of-{size}.bmp", bmp(width, height)
        yield f"portable-of-{size}.ppm", b"P6 %d %d 255\n" % (width, height)
        yield f"tiff-of-{size}.tiff", tiff(plain_tiff(width, height))
    yield "bmp-of-a-negative-width.bmp", bmp(-9, 9)
    yield "bmp-of-the-most-negative-height.bmp", bmp(9, -(2**31))
    yield "bmp-of-a-negative-height-and-no-pixels.bmp", bmp(9, -9, data=b"")


def _contradictions() -> Iterator[tuple[str, bytes]]:
    row = zlib.compress(bytes(28) * 9)
    for depth, colour in ((3, 0), (32, 2), (8, 1), (16, 3), (1, 6)):
        yield f"png-of-{depth}-bits-and-colour-type-{colour}.png", png(9, 9, depth, colour, row)
    yield "png-without-its-palette.png", png(9, 9, 8, 3, zlib.compress(bytes(90)))
    short = chunk(b"PLTE", b"\xff\0\0")
    yield "png-with-colours-beyond-its-palette.png", png(9, 9, 8, 3, zlib.compress(b"\0" + b"\xfe" * 9), short)
    yield "png-of-rows-that-are-no-deflate.png", png(9, 9, 8, 2, b"no deflate at all")
    yield "png-of-filters-that-do-not-exist.png", png(9, 9, 8, 2, zlib.compress(b"\x63" * 252))
    yield "png-with-too-few-rows.png", png(9, 99, 8, 2, row)
    yield "png-that-begins-with-its-end.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b"")
    yield "png-with-a-chunk-of-four-gigabytes.png", good()["png.png"][:33] + b"\xff\xff\xff\xfftEXt" + bytes(99)
    yield "png-with-a-wrong-checksum.png", good()["png.png"][:30] + b"\xff\xff" + good()["png.png"][32:]
    entries = plain_tiff(9, 9)
    yield "tiff-whose-directories-are-a-circle.tiff", tiff(entries, following=8)
    yield "tiff-whose-pixels-lie-beyond-its-end.tiff", tiff(entries | {273: (4, 1, 2**31)})
    yield "tiff-with-a-tag-of-four-billion-values.tiff", tiff(entries | {273: (4, 2**32 - 1, 8)})
    yield "tiff-with-five-hundred-samples.tiff", tiff(entries | {277: (3, 1, 500)})
    yield "tiff-of-no-rows-a-strip.tiff", tiff(entries | {278: (4, 1, 0)})
    yield "tiff-of-tiles-of-no-size.tiff", tiff(entries | {322: (4, 1, 0), 323: (4, 1, 0), 324: (4, 1, 8)})
    for packing in (2, 3, 4, 5, 6, 7, 8, 32_773, 34_712, 50_000, 65_535):
        yield f"tiff-of-packing-{packing}.tiff", tiff(entries | {259: (3, 1, packing)})
    yield "bmp-whose-runs-leave-the-picture.bmp", bmp(9, 9, depth=8, packing=1, data=b"\xff\1" * 999)
    yield "bmp-whose-runs-jump-away.bmp", bmp(9, 9, depth=8, packing=1, data=b"\0\2\xff\xff" * 99)
    yield "bmp-of-masks-that-are-zero.bmp", bmp(9, 9, depth=32, packing=3, data=bytes(12 + 4 * 81))
    for depth in (0, 3, 64):
        yield f"bmp-of-{depth}-bits.bmp", bmp(9, 9, depth=24)[:28] + struct.pack("<H", depth) + bmp(9, 9)[30:]
    yield "gif-of-codes-that-are-too-long.gif", gif((9, 9)).replace(b"\2\2\x4c\1\0", b"\x0f\2\x4c\1\0")
    yield (
        "gif-frame-that-lies-beyond-its-page.gif",
        gif((9, 9)).replace(b"," + bytes(4), b"," + struct.pack("<2H", 60_000, 60_000)),
    )
    yield "gif-without-a-frame.gif", gif()
    yield "gif-with-a-comment-without-end.gif", b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\xff" * 100_000
    yield (
        "jpeg-without-its-tables.jpg",
        good()["jpeg.jpg"].replace(b"\xff\xdb", b"\xff\xe5").replace(b"\xff\xc4", b"\xff\xe6"),
    )
    yield "jpeg-of-markers-only.jpg", b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000
    yield "jpeg-of-arithmetic-coding.jpg", good()["jpeg.jpg"].replace(b"\xff\xc0", b"\xff\xc9")
    yield "jpeg-with-five-colours.jpg", good()["jpeg.jpg"].replace(b"\xff\xc0\0\x11", b"\xff\xc0\0\x17")


def cases() -> Iterator[Case]:
    """Yield them."""
    for name, content in _huge():
        yield Case(name, content)
    for name, content in _none():
        yield Case(name, content, Ends.BADLY)
    for name, content in _contradictions():
        yield Case(name, content)
