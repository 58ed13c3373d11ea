"""The frames of a source without more ado, all of them or the first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from mien.limits import MAX_PIXELS
from mien.results import Frame
from mien.sources.media import MediaSource, open_media
from mien.sources.selection import WHOLE, Selection


def read_picture(source: MediaSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Frame:
    """Return `source` as a frame: of an animated picture or a film, its first.

    Args:
        source: a path; the bytes of a file; a Pillow image; an array, RGB, RGBA or grey, uint8 (or
            uint16 where it is grey), shape (height, width[, channels]); a Frame is returned as it is.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse pictures of more than so many pixels.

    Raises:
        SourceError: it is not there, not a picture or film, damaged, or too large; the message names it.

    """
    with closing(read_frames(source, name=name, max_pixels=max_pixels)) as frames:
        return next(frames)


def read_frames(
    source: MediaSource,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    selection: Selection = WHOLE,
) -> Generator[Frame, None, None]:
    """Yield the frames of `source`, decoded one at a time, so that memory does not grow with their number.

    A GIF, WebP, PNG or AVIF that moves is a film. The time of its frames is the sum of the durations that the
    file states for those before; as in browsers, one of 10 ms or less counts as 100 ms. Other pictures are one frame
    without a time: also a TIFF with several pages (the first), a HEIC with several pictures (the one it calls
    primary), and a Pillow image (the frame it stands at, since going through them would change it).

    Args:
        source: as in `open_media`.
        name: what to call it in results and errors; its path or kind where this is None.
        max_pixels: refuse frames of more than so many pixels.
        selection: which frames of a film to look at.

    Raises:
        SourceError: as in `read_picture`; where a film breaks off, after the frames that are whole. The message
            names the frame, counted from 0.

    """
    with open_media(source, name=name, max_pixels=max_pixels, selection=selection) as media:
        yield from media.frames
