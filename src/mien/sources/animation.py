"""Animated pictures: the frames of a GIF, WebP, PNG or AVIF, one at a time."""

from __future__ import annotations

from collections.abc import Generator

from PIL import Image

from mien.errors import SourceError
from mien.results import Frame
from mien.sources.naming import source_error
from mien.sources.opening import GIF_PIXELS, check_size, explain, pillows_limit
from mien.sources.pixels import decode
from mien.sources.selection import WHOLE, Selection, Verdict

FILMS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Formats in which several pictures are a film. In the others (TIFF, MPO, HEIC) they are pages, views or a burst."""

# In milliseconds. Many files state a duration of 0 and mean "as is usual": like browsers, take up to 10 for 100.
_SHORTEST = 10
_USUAL = 100


def read_film(
    image: Image.Image, name: str, max_pixels: int, selection: Selection = WHOLE
) -> Generator[Frame, None, None]:
    """Yield the selected frames of an opened picture of one of the formats in `FILMS`, and never hold more than one.

    Where there is only one frame it is a still picture: it has no time, and nothing is selected.

    Raises:
        SourceError: a frame is damaged or too large (those before it have been yielded, the message names it), or
            none is selected.

    """
    picker = selection.picker()
    first = 0
    if image.info.get("default_image"):  # of a PNG: stands in for the film where films are not known
        first = 1
        _advance(image, first, name, max_pixels)
    index, start = 0, 0.0
    while True:
        label = f"{name}, frame {index}" if index else name
        check_size(*image.size, label, max_pixels)
        pixels = decode(image, label)
        if image.format == "AVIF":  # its durations come rounded, and their sum would drift
            start = image.info["timestamp"]
        duration = image.info.get("duration", 0)
        broken = None
        try:
            more = _advance(image, first + index + 1, f"{name}, frame {index + 1}", max_pixels)
        except SourceError as error:
            more, broken = True, error
        if not (index or more):
            yield Frame(pixels, name)
            return
        time = round(start / 1000, 6)
        verdict = picker.verdict(index, time)
        if verdict is Verdict.TAKE:
            yield Frame(pixels, name, index, time)
        if broken is not None and verdict is not Verdict.STOP:
            raise broken
        if not more or verdict is Verdict.STOP:
            picker.check(name)
            return
        start += duration if duration > _SHORTEST else _USUAL
        index += 1


def _advance(image: Image.Image, position: int, label: str, max_pixels: int) -> bool:
    """Go to a frame; return False where the film has ended before it."""
    stated = 0 if image.format == "GIF" else getattr(image, "n_frames", 1)  # to count a GIF's is to read it all
    try:
        with pillows_limit(max(max_pixels, GIF_PIXELS)):
            image.seek(position)
    except EOFError as error:
        if position < stated:
            raise source_error(label, "the picture is cut short") from error
        return False
    except Exception as error:  # the decoders' exceptions have no common parent
        raise source_error(label, f"the picture is cut short or damaged ({explain(error)})") from error
    return True
