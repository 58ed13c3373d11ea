"""What is measured on: mosaics of the portrait that ships with the package, and test media where they are at hand."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from mien.evaluation.scenes import scene

SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "media"
"""Real media that are not in the repository; what needs them is left out where they are not there."""

_QUALITY = 90


def jpeg(pixels: np.ndarray) -> bytes:
    """Return a picture as a JPEG file, as cameras and phones write it."""
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=_QUALITY)
    return stored.getvalue()


def mosaic(faces: int, size: tuple[int, int]) -> bytes:
    """Return a JPEG of that width and height with so many faces."""
    return jpeg(scene(faces, size).pixels)


def six_people() -> bytes | None:
    """Return a JPEG of 1280x720 with six different people, or None without the shared media."""
    people, portrait = SHARED / "five_people.jpg", SHARED / "astronaut.png"
    if not (people.is_file() and portrait.is_file()):
        return None
    canvas = Image.new("RGB", (1280, 720), (90, 90, 90))
    with Image.open(people) as five, Image.open(portrait) as sixth:
        canvas.paste(five.convert("RGB"), (0, 30))
        canvas.paste(sixth.convert("RGB").crop((110, 10, 390, 300)), (1000, 200))
    return jpeg(np.asarray(canvas))


def write_folder(folder: Path, count: int) -> None:
    """Fill `folder` with so many JPEGs of 640x480, one face each, framed otherwise in each of the first hundred."""
    pixels = scene(1, (680, 510)).pixels
    for i in range(count):
        if i < 100:
            x, y = i % 10 * 4, i // 10 * 3
            (folder / f"{i:05}.jpg").write_bytes(jpeg(pixels[y : y + 480, x : x + 640]))
        else:
            os.link(folder / f"{i % 100:05}.jpg", folder / f"{i:05}.jpg")
