"""Picture + Result → annotated picture: a box, the label, and the distribution as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.emotions import COLOURS, Emotion
from mien.results import Box, Face, Result

_ROWS = 4  # emotions in the panel of bars: the most probable ones
_PAPER = (24, 24, 27)
_INK = (250, 250, 250)
_TROUGH = (92, 92, 100)


def annotate(pixels: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
    """Return a copy of a picture with its faces marked.

    Each face gets its box, its emotion with the probability, and bars of the most probable emotions
    beside, below or above it; where there is no room, a strip along the lower edge of its box, divided by
    the probabilities.

    Args:
        pixels: RGB, uint8, shape (height, width, 3): the picture that `result` is about.
        result: what was found in it.

    """
    image = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(image, "RGBA")
    styled = [(face, _Style.fitting(face, image.size)) for face in result.faces]
    styled.sort(key=lambda pair: -_height(pair[0].box))
    taken = [face.box for face in result.faces]
    for face, style in styled:
        canvas.rectangle(_whole(face.box), outline=_PAPER, width=style.line + 2)
        canvas.rectangle(_inset(face.box, 1), outline=COLOURS[face.emotion], width=style.line)
    for face, style in styled:
        taken.append(_label(canvas, face, style, image.size, taken))
    for face, style in styled:
        if place := _room(face.box, style, image.size, taken):
            _bars(canvas, face, style, place)
            taken.append(place)
        else:
            _strip(canvas, face, style, image.size)
    return np.asarray(image)


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes in pixels, from the face and the picture that they are drawn on."""

    line: int
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    row: int
    gap: int
    names: float
    bars: float

    @classmethod
    def fitting(cls, face: Face, picture: tuple[int, int]) -> _Style:
        short = min(picture)
        text = round(max(11.0, short / 60, min(_height(face.box) / 8, short / 22)))
        font = ImageFont.load_default(text)
        return cls(
            line=max(2, round(text / 7)),
            font=font,
            row=round(text * 1.35),
            gap=max(3, text // 3),
            names=max(font.getlength(str(emotion)) for emotion, _ in _ranked(face)[:_ROWS]),
            bars=4.5 * text,
        )

    @property
    def panel(self) -> tuple[float, float]:
        """Width and height of the panel of bars."""
        return (self.names + self.bars + 3 * self.gap, _ROWS * self.row + self.gap)


def _label(
    canvas: ImageDraw.ImageDraw, face: Face, style: _Style, picture: tuple[int, int], taken: Sequence[Box]
) -> Box:
    """Draw the tag above the box, else below it, else just inside its top; return its place."""
    text = f"{face.emotion} {face.confidence:.0%}"
    width = style.font.getlength(text) + 2 * style.gap
    left = min(max(0.0, face.box[0]), max(0.0, picture[0] - width))
    above, below, inside = face.box[1] - style.row, face.box[3], face.box[1]
    places = [(left, top, left + width, top + style.row) for top in (above, below, inside)]
    place = next((place for place in places if _free(place, picture, taken)), places[2])
    top = place[1]
    colour = COLOURS[face.emotion]
    canvas.rectangle(_whole(place), fill=colour)
    middle = (left + style.gap, top + style.row / 2)
    canvas.text(middle, text, font=style.font, fill=_readable_on(colour), anchor="lm")
    return place


def _bars(canvas: ImageDraw.ImageDraw, face: Face, style: _Style, place: Box) -> None:
    canvas.rectangle(_whole(place), fill=(*_PAPER, 190))
    left = place[0] + 2 * style.gap + style.names
    right = left + style.bars
    for row, (emotion, score) in enumerate(_ranked(face)[:_ROWS]):
        middle = place[1] + style.gap / 2 + (row + 0.5) * style.row
        canvas.text((place[0] + style.gap, middle), str(emotion), font=style.font, fill=_INK, anchor="lm")
        half = style.row * 0.28
        canvas.rectangle((left, middle - half, right, middle + half), fill=_TROUGH)
        if (right - left) * score >= 1:
            bar = (left, middle - half, left + (right - left) * score, middle + half)
            canvas.rectangle(bar, fill=COLOURS[emotion])


def _strip(canvas: ImageDraw.ImageDraw, face: Face, style: _Style, picture: tuple[int, int]) -> None:
    """Draw the distribution as one divided strip along the lower edge of the box."""
    x1, _, x2, y2 = face.box
    height = max(4, style.row // 3)
    bottom = min(y2 + height, picture[1] - 1)
    for emotion, score in _ranked(face):
        end = x1 + (x2 - face.box[0]) * score
        if end - x1 >= 1:
            canvas.rectangle(_whole((x1, bottom - height, end, bottom)), fill=COLOURS[emotion])
        x1 = end


def _room(box: Box, style: _Style, picture: tuple[int, int], taken: Sequence[Box]) -> Box | None:
    """Return a place for the panel right, left, below or above `box` that covers nothing taken, if there is one."""
    width, height = style.panel
    beside = min(max(0.0, box[1]), picture[1] - height)
    along = min(max(0.0, (box[0] + box[2] - width) / 2), picture[0] - width)
    corners = (
        (box[2] + style.gap, beside),
        (box[0] - style.gap - width, beside),
        (along, box[3] + style.gap),
        (along, box[1] - style.row - style.gap - height),
    )
    places = [(left, top, left + width, top + height) for left, top in corners]
    return next((place for place in places if _free(place, picture, taken)), None)


def _free(place: Box, picture: tuple[int, int], taken: Sequence[Box]) -> bool:
    """Say whether `place` lies within the picture and covers nothing taken."""
    inside = place[0] >= 0 and place[1] >= 0 and place[2] <= picture[0] and place[3] <= picture[1]
    return inside and not any(_overlap(place, other) for other in taken)


def _ranked(face: Face) -> list[tuple[Emotion, float]]:
    shown = face.scores if face.smoothed is None else face.smoothed
    return sorted(shown.items(), key=lambda entry: -entry[1])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _whole(box: Box) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = map(round, box)
    return (x1, y1, max(x1, x2), max(y1, y2))


def _inset(box: Box, by: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = _whole(box)
    return (x1 + by, y1 + by, max(x1 + by, x2 - by), max(y1 + by, y2 - by))


def _height(box: Box) -> float:
    return box[3] - box[1]


def _readable_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, whichever stands out on `colour`."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luma > 140 else (255, 255, 255)
