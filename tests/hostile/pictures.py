"""Pictures of every format, cut short, with bits turned over, under wrong names, and things that are none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import Image, features

from hostile.case import Case, Ends
from hostile.damage import cut, flipped

_FACE = (136, 28, 296, 204)  # of examples/astronaut.jpg


@cache
def face() -> Image.Image:
    """Return a picture with one happy face, 160x176."""
    examples = Path(__file__).resolve().parent.parent.parent / "examples"
    with Image.open(examples / "astronaut.jpg") as image:
        return image.convert("RGB").crop(_FACE)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the content of a file."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def moving(form: str, *, frames: int = 6, **options: object) -> bytes:
    """Return an animated picture of a face that moves to the right."""
    shifted = [face().transform(face().size, Image.Transform.AFFINE, (1, 0, -3 * i, 0, 1, 0)) for i in range(frames)]
    return encoded(shifted[0], form, save_all=True, append_images=shifted[1:], duration=80, **options)


@cache
def good() -> dict[str, bytes]:
    """Return one picture of every format that can be written here, by its file's name."""
    image = face()
    made = {
        "jpeg.jpg": encoded(image, "JPEG", quality=90),
        "progressive.jpg": encoded(image, "JPEG", quality=90, progressive=True),
        "png.png": encoded(image, "PNG"),
        "palette.gif": encoded(image.quantize(64), "GIF"),
        "webp.webp": encoded(image, "WEBP", quality=90),
        "lossless.webp": encoded(image, "WEBP", lossless=True),
        "deflated.tiff": encoded(image, "TIFF", compression="tiff_deflate"),
        "plain.tiff": encoded(image, "TIFF"),
        "bmp.bmp": encoded(image, "BMP"),
        "portable.ppm": encoded(image, "PPM"),
        "moving.gif": moving("GIF"),
        "moving.webp": moving("WEBP"),
        "moving.apng": moving("PNG"),
    }
    if features.check("jpg_2000"):
        made["jpeg2000.jpg"] = encoded(image, "JPEG2000")
    if features.check("avif"):
        made["avif.avif"] = encoded(image, "AVIF", quality=90)
    try:
        import pillow_heif
    except ImportError:
        return made
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=90)
    return made | {"heic.heic": stream.getvalue()}


_OTHERS = {
    "page.jpg": b"<!doctype html><title>404</title><p>no such picture",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>',
    "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(a) run\n%%EOF\n",
    "pdf.png": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "shell.gif": b"#!/bin/sh\nrm -rf /\n",
    "elf.webp": b"\x7fELF\2\1\1" + bytes(57),
    "gif-with-a-script.gif": b"GIF89a/*" + bytes(4) + b"*/=1;alert(1)",
    "zeros.bmp": bytes(1 << 20),
    "ones.tiff": b"\xff" * (1 << 16),
    "one-byte.jpg": b"\xff",
    "only-a-jpeg-marker.jpg": b"\xff\xd8",
    "only-a-png-signature.png": b"\x89PNG\r\n\x1a\n",
    "only-riff.webp": b"RIFF\xff\xff\xff\xffWEBP",
    "only-a-gif-head.gif": b"GIF89a",
    "only-a-heic-brand.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "only-an-avif-brand.avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
    "text-in-utf-16.ppm": "P6 3 3 255".encode("utf-16"),
    "empty.png": b"",
}


def cases() -> Iterator[Case]:
    """Yield them."""
    made = good()
    for name, content in made.items():
        # of an old JPEG 2000, and of the plain formats, less is a smaller picture or one that is complete
        yield from cut(name, content, ends=Ends.EITHER if name.endswith(("heic", "avif")) else Ends.BADLY)
        yield from flipped(name, content)
    names = [name for name in made if name != "moving.apng"]
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        kind, suffix = name.partition(".")[0], other.rpartition(".")[2]
        yield Case(f"{kind}-called-{suffix}.{suffix}", made[name], Ends.WELL)
    yield Case("picture-called-a-film.mp4", made["jpeg.jpg"], Ends.WELL)
    for name, content in _OTHERS.items():
        yield Case(f"no-picture-{name}", content, Ends.BADLY)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("face.jpg", made["jpeg.jpg"])
    yield Case("no-picture-but-an-archive-of-one.jpg", archive.getvalue(), Ends.BADLY)
    yield Case("jpeg-with-an-archive-behind.jpg", made["jpeg.jpg"] + archive.getvalue(), Ends.WELL)
    yield Case("jpeg-with-a-megabyte-of-zeros-behind.jpg", made["jpeg.jpg"] + bytes(1 << 20), Ends.WELL)
    yield Case("png-with-another-behind.png", 2 * made["png.png"], Ends.WELL)
    yield Case("jpeg-behind-a-megabyte-of-zeros.jpg", bytes(1 << 20) + made["jpeg.jpg"], Ends.BADLY)
