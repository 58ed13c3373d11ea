"""Pillow images and arrays → upright RGB.

The only place where grey, transparency, 16 bits, palettes, CMYK, colour profiles and EXIF orientation
become upright RGB.
"""

from __future__ import annotations

import io
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from mien.sources.naming import source_error
from mien.sources.opening import check_size, explain

_BACKGROUND = (255, 255, 255)  # shows through where a picture is transparent, as on most pages

# By EXIF's number: whether the stored rows are the columns of the upright picture, and whether rows and columns,
# as stored, then run backward.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}

_BAND = 1 << 20  # pixels that are converted at once: beside a large picture, as Pillow holds it, only the result is

# What is left of a mode without its transparency, and what profiles call those colours; the others become RGB.
_OPAQUE = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}

_PROBE = np.indices((9, 9, 9)).reshape(3, 1, -1).T.astype(np.uint8) * 31
"""Colours from all over RGB, shape (729, 1, 3)."""


def decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return the pixels of an opened picture: of the frame it stands at.

    Raises:
        SourceError: it is damaged, or its pixels have no agreed meaning.

    """
    try:
        image.load()
    except Exception as error:  # the decoders' exceptions have no common parent
        raise source_error(name, f"the picture is cut short or damaged ({explain(error)})") from error
    turn = None
    with suppress(Exception):  # a broken EXIF block says nothing about the pixels
        # ImageOps.exif_transpose writes the block anew, and fails where another of its entries is broken
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return _to_rgb(image, name, turn)


def _to_rgb(image: Image.Image, name: str, turn: tuple[bool, bool, bool] | None = None) -> NDArray[np.uint8]:
    # 32 bits a pixel have no agreed range; only from the portable formats are they 16 bits in disguise
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise source_error(name, "its pixels are numbers of 32 bits, of unknown range; save it with 8 or 16 bits")
    profile = image.info.get("icc_profile")
    width, height = image.size
    rows = max(1, _BAND // width)
    try:
        if rows >= height and turn is None:
            return _band_to_rgb(image, profile)
        exchange, down, across = turn or (False, False, False)
        upright = np.empty((width, height, 3) if exchange else (height, width, 3), np.uint8)
        stored = upright.transpose(1, 0, 2) if exchange else upright
        stored = stored[:: -1 if down else 1, :: -1 if across else 1]
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            stored[top:bottom] = _band_to_rgb(image.crop((0, top, width, bottom)), profile)
    except Exception as error:  # as above; a mode without a way to RGB among them
        raise source_error(name, f"its pixels cannot be made RGB ({explain(error)})") from error
    upright.flags.writeable = False
    return upright


def _band_to_rgb(image: Image.Image, profile: object) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    opaque, alpha = _OPAQUE.get(image.mode, "RGB"), None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode != opaque:
        image = image.convert(opaque)
    transform = _into_srgb(profile, opaque) if isinstance(profile, bytes) else None
    if transform is not None:
        image = transform.apply(image)
    elif opaque != "RGB":
        image = image.convert("RGB")
    if alpha is not None:
        page = Image.new("RGB", image.size, _BACKGROUND)
        page.paste(image, mask=alpha)
        image = page
    return np.asarray(image)


@lru_cache(maxsize=8)
def _into_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what takes pixels of `mode` from their profile to sRGB; None where there is nothing to do.

    That is so for sRGB itself, whatever its author called it, and for a profile that is broken or made for
    other pixels: the picture is worth more than its profile.
    """
    try:
        stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if stored.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(stored, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = Image.fromarray(_PROBE).convert(mode)
        moved = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    except Exception:  # no common parent either; a Pillow built without littleCMS raises ImportError
        return None
    return transform if np.abs(moved).max() > 2 else None


def decode_array(array: NDArray[Any], name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return an array of RGB, RGBA or grey values as RGB.

    Raises:
        SourceError: it has another shape or type; the message says how to convert it.

    """
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if not grey and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        planes = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        advice = "; if its colours come first, pass array.transpose(1, 2, 0)" if planes else ""
        shapes = "(height, width), (…, 3) RGB or (…, 4) RGBA"
        raise source_error(name, f"its shape is {array.shape}, not {shapes}{advice}")
    check_size(array.shape[1], array.shape[0], name, max_pixels)
    if grey and array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.uint16)  # in the byte order of this machine
    elif array.dtype != np.uint8:
        raise source_error(name, _wrong_type(array))
    image = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if grey and array.ndim == 3 else array))
    return _to_rgb(image, name)


def _wrong_type(array: NDArray[Any]) -> str:
    kind = array.dtype.kind
    if kind == "f":
        if not np.isfinite(array).all():
            return f"some of its values ({array.dtype}) are NaN or infinite; replace them, and convert it to uint8"
        return (
            f"its type is {array.dtype}, and its range is not guessed: pass (array * 255).round().astype(np.uint8) "
            "if it goes from 0 to 1, array.round().astype(np.uint8) if from 0 to 255"
        )
    if kind == "b":
        return "its type is bool, not uint8: pass array.astype(np.uint8) * 255"
    if kind in "iu":
        low, high = int(array.min()), int(array.max())
        fits = low >= 0 and high <= 255
        advice = "pass array.astype(np.uint8)" if fits else "bring its values to 0 to 255 and pass it as uint8"
        return f"its type is {array.dtype}, with values from {low} to {high}, not uint8: {advice}"
    return f"its type is {array.dtype}, not uint8 with values 0 to 255"
