"""Pictures with broken EXIF and colour profiles, in every layout of channels, and with numbers that are none."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from hostile.case import Case, Ends
from hostile.headers import chunk
from hostile.pictures import encoded, face, good

_ORIENTATION = 0x0112


def _exif(*entries: tuple[int, int, int, bytes], following: int = 0, order: str = "<") -> bytes:
    """Return an EXIF block of entries: tag, type, count and four bytes of value."""
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    table = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + head + struct.pack(order + "H", len(entries)) + table + struct.pack(order + "I", following)


def _exifs() -> Iterator[tuple[str, bytes]]:
    yield "empty", b"Exif\0\0"
    yield "half-a-head", b"Exif\0\0II*"
    yield "of-another-order-of-bytes", b"Exif\0\0XX*\0\x08\0\0\0\0\0"
    yield "that-begins-beyond-its-end", b"Exif\0\0II*\0\xff\xff\xff\xff"
    yield "that-is-a-circle", _exif((_ORIENTATION, 3, 1, b"\1\0\0\0"), following=8)
    yield "whose-inner-block-is-itself", _exif((0x8769, 4, 1, struct.pack("<I", 8)))
    yield "whose-places-are-itself", _exif((0x8825, 4, 1, struct.pack("<I", 8)), (0xA005, 4, 1, struct.pack("<I", 8)))
    yield "with-65535-entries", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(1200)
    yield "with-an-orientation-of-0", _exif((_ORIENTATION, 3, 1, bytes(4)))
    yield "with-an-orientation-of-65535", _exif((_ORIENTATION, 3, 1, b"\xff\xff\0\0"))
    yield "with-an-orientation-in-words", _exif((_ORIENTATION, 2, 4, b"up\0\0"))
    yield "with-an-orientation-of-a-fraction-by-zero", _exif((_ORIENTATION, 5, 1, struct.pack("<I", 0)))
    yield "with-an-orientation-of-no-type", _exif((_ORIENTATION, 99, 1, b"\6\0\0\0"))
    yield "with-four-billion-orientations", _exif((_ORIENTATION, 3, 2**32 - 1, b"\x08\0\0\0"))
    yield "with-no-orientations", _exif((_ORIENTATION, 3, 0, bytes(4)))
    yield "with-a-thumbnail-of-four-gigabytes", _exif((0x201, 4, 1, b"\xff" * 4), (0x202, 4, 1, b"\xff" * 4))
    yield "of-64-kilobytes-of-rubbish", b"Exif\0\0MM\0*\0\0\0\x08" + b"\xa5\x5a" * 32_000


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _profiles() -> Iterator[tuple[str, bytes]]:
    srgb = _profile()
    yield "of-one-byte", b"\0"
    yield "of-nothing-but-zeros", bytes(600)
    yield "of-text", b"sRGB IEC61966-2.1" * 20
    yield "cut-in-its-table", srgb[:140]
    yield "cut-in-the-middle", srgb[: len(srgb) // 2]
    yield "that-says-it-is-four-gigabytes", b"\xff\xff\xff\xff" + srgb[4:]
    yield "that-says-it-has-no-tags", srgb[:128] + bytes(4) + srgb[132:]
    yield "that-says-it-has-four-billion-tags", srgb[:128] + b"\xff" * 4 + srgb[132:]
    yield "whose-tags-lie-beyond-its-end", srgb[:136] + b"\x7f\xff\xff\xf0" + srgb[140:]
    yield "for-ink-on-light", srgb[:16] + b"CMYK" + srgb[20:]
    yield "for-grey-on-colours", srgb[:16] + b"GRAY" + srgb[20:]
    yield "of-a-space-that-nobody-knows", srgb[:16] + b"ZZZZ" + srgb[20:]
    yield "that-is-abstract", srgb[:12] + b"abst" + srgb[16:]
    for seed in range(4):
        dice = np.random.default_rng(seed)
        damaged = np.frombuffer(srgb, np.uint8).copy()
        damaged[dice.integers(128, len(srgb), 40)] = dice.integers(0, 256, 40)
        yield f"with-rubbish-in-its-tags-seed-{seed}", damaged.tobytes()


def _layouts() -> Iterator[tuple[str, bytes]]:
    image = face()
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        stored = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257) if ";" in mode else None
        yield f"png-of-{mode.replace(';', '')}.png", encoded(stored or image.convert(mode), "PNG")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"):
        stored = image.convert("RGBA") if mode == "LA" else image
        yield f"tiff-of-{mode}.tiff", encoded(_lab(image) if mode == "LAB" else stored.convert(mode), "TIFF")
    for mode in ("L", "CMYK", "YCbCr"):
        yield f"jpeg-of-{mode}.jpg", encoded(image.convert(mode), "JPEG")
    inks = encoded(image.convert("CMYK"), "JPEG")
    yield "jpeg-of-inks-upside-down.jpg", inks.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2")
    transparent = image.convert("RGBA")
    transparent.putalpha(0)
    yield "png-of-a-face-that-is-transparent.png", encoded(transparent, "PNG")
    yield "webp-of-a-face-that-is-transparent.webp", encoded(transparent, "WEBP", lossless=True)
    yield "gif-of-transparency-beyond-its-palette.gif", encoded(image.quantize(16), "GIF", transparency=255)


def _lab(image: Image.Image) -> Image.Image:
    into = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return into.apply(image)


def _numbers() -> Iterator[tuple[str, bytes]]:
    values = np.asarray(face().convert("L")).astype(np.float32)
    for name, value in (("not-a-number", np.nan), ("infinity", np.inf), ("minus-infinity", -np.inf)):
        values[3, 5] = value
        yield f"tiff-with-{name}.tiff", encoded(Image.fromarray(values), "TIFF")
    yield "tiff-of-32-bits.tiff", encoded(Image.fromarray(np.full((9, 9), 70_000, np.int32)), "TIFF")
    yield "tiff-of-numbers-below-0.tiff", encoded(Image.fromarray(np.full((9, 9), -1, np.int32)), "TIFF")


def cases() -> Iterator[Case]:
    """Yield them."""
    for name, exif in _exifs():
        yield Case(f"jpeg-with-exif-{name}.jpg", encoded(face(), "JPEG", exif=exif[:65_000]), Ends.WELL)
        png = good()["png.png"]
        yield Case(f"png-with-exif-{name}.png", png[:33] + chunk(b"eXIf", exif[6:]) + png[33:], Ends.WELL)
    yield Case("webp-with-exif-of-rubbish.webp", encoded(face(), "WEBP", exif=b"\xa5" * 999), Ends.WELL)
    for name, profile in _profiles():
        for form, suffix in (("JPEG", "jpg"), ("PNG", "png")):
            content = encoded(face(), form, icc_profile=profile)
            yield Case(f"{form.lower()}-with-a-profile-{name}.{suffix}", content, Ends.WELL)
    png = good()["png.png"]
    broken = chunk(b"iCCP", b"name\0\0no deflate at all")
    yield Case("png-with-a-profile-that-is-no-deflate.png", png[:33] + broken + png[33:], Ends.WELL)
    text = chunk(b"tEXt", b"Comment\0\x1b[31m\xff\xfe\0\0") + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 99))
    yield Case("png-with-texts-of-control-characters.png", png[:33] + text + png[33:], Ends.WELL)
    for name, content in _layouts():
        # Pillow 12 does not read back the YCbCr TIFF that it writes
        yield Case(name, content, Ends.EITHER if name == "tiff-of-YCbCr.tiff" else Ends.WELL)
    for name, content in _numbers():
        yield Case(name, content, Ends.BADLY)
    stream = io.BytesIO()
    np.save(stream, np.full((9, 9, 3), np.nan))
    yield Case("numpy-array-of-not-a-number-called-png.png", stream.getvalue(), Ends.BADLY)
