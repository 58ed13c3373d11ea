"""Picture + Result → annotated picture: a box, the label, and the distribution as bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.drawing.layout import ROWS, Layout, Mark, Rect, Style, Tag, lay_out
from mien.emotions import COLOURS
from mien.results import Face, Result

Colour = tuple[int, int, int]

_PAPER = (24, 24, 27)
_INK = (250, 250, 250)
_TROUGH = (44, 44, 48)


def annotate(pixels: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
    """Return a copy of a picture with its faces marked.

    Each face gets its box, its emotion with the probability (and its number, where it is tracked), and bars of
    the most probable emotions beside, below or above it; in a crowd, or where there is no room, a strip
    within the lower edge of its box, divided by the probabilities. A label that finds no place is shortened;
    one that would not be legible even then is left out.

    Args:
        pixels: RGB, uint8, shape (height, width, 3): the picture that `result` is about.
        result: what was found in it.

    """
    return paint(pixels, lay_out(result.faces, (pixels.shape[1], pixels.shape[0])))


def annotated_image(pixels: NDArray[np.uint8], result: Result) -> Image.Image:
    """Return what `annotate` does, as Pillow saves it: of a large picture this is the only copy."""
    return _painted(pixels, lay_out(result.faces, (pixels.shape[1], pixels.shape[0])))


def paint(pixels: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Return a copy of a picture, RGB, uint8, shape (height, width, 3), with what was laid out for it."""
    return np.asarray(_painted(pixels, layout)) if layout.marks else pixels.copy()


def _painted(pixels: NDArray[np.uint8], layout: Layout) -> Image.Image:
    image = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(image, "RGBA")
    style = Style(layout.text, film=layout.film)
    for mark in layout.marks:
        _frame(canvas, mark, style)
        if mark.panel is None:
            _strip(canvas, mark, style)
    for mark in layout.marks:
        if mark.panel is not None:
            _bars(canvas, mark, style, mark.panel)
        if mark.tag is not None:
            _label(canvas, mark.face, style, mark.tag)
    return image


def _frame(canvas: ImageDraw.ImageDraw, mark: Mark, style: Style) -> None:
    """Draw the box between two dark edges, without which light colours are lost on a light picture."""
    x1, y1, x2, y2 = mark.box
    line = max(1, min(style.line, min(x2 - x1, y2 - y1) // 10))
    edge = min(style.edge, line)
    canvas.rectangle((x1, y1, x2 - 1, y2 - 1), outline=_PAPER, width=line + 2 * edge)
    inner = (x1 + edge, y1 + edge, max(x1 + edge, x2 - 1 - edge), max(y1 + edge, y2 - 1 - edge))
    canvas.rectangle(inner, outline=COLOURS[mark.face.emotion], width=line)


def _label(canvas: ImageDraw.ImageDraw, face: Face, style: Style, tag: Tag) -> None:
    colour = COLOURS[face.emotion]
    x1, y1, x2, y2 = tag.place
    canvas.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour, outline=_PAPER, width=style.edge)
    middle = (x1 + style.gap, (y1 + y2) / 2)
    canvas.text(middle, tag.text, font=style.font, fill=readable_on(colour), anchor="lm")


def _bars(canvas: ImageDraw.ImageDraw, mark: Mark, style: Style, place: Rect) -> None:
    x1, y1, x2, y2 = place
    canvas.rectangle((x1, y1, x2 - 1, y2 - 1), fill=(*_PAPER, 215))
    left = x1 + 2 * style.gap + style.names(mark.face)
    half = round(style.row * 0.28)
    for row, (emotion, score) in enumerate(mark.ranking[:ROWS]):
        middle = round(y1 + style.gap / 2 + (row + 0.5) * style.row)
        canvas.text((x1 + style.gap, middle), str(emotion), font=style.font, fill=_INK, anchor="lm")
        canvas.rectangle((left, middle - half, left + style.bars - 1, middle + half), fill=_TROUGH)
        if long := round(style.bars * score):
            canvas.rectangle((left, middle - half, left + long - 1, middle + half), fill=COLOURS[emotion])


def _strip(canvas: ImageDraw.ImageDraw, mark: Mark, style: Style) -> None:
    """Draw the distribution as one divided strip within the lower edge of the box."""
    high = style.strip(mark.box)
    if high == 0:
        return
    x1, _, x2, y2 = mark.box
    canvas.rectangle((x1, y2 - high, x2 - 1, y2 - 1), fill=_PAPER)
    start, room = float(x1 + style.edge), x2 - x1 - 2 * style.edge
    for emotion, score in mark.ranking:
        end = start + room * score
        if round(end) > round(start):
            across = (round(start), y2 - high + style.edge, round(end) - 1, y2 - 1 - style.edge)
            canvas.rectangle(across, fill=COLOURS[emotion])
        start = end


def readable_on(colour: Colour) -> Colour:
    """Return black or white, whichever has the higher contrast (WCAG 2) on `colour`: always 4.5 or more."""
    red, green, blue = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
