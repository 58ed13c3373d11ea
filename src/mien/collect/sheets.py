"""Contact sheets: a picture that shows many, small and with a line of text each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

MOST = 60
"""Pictures on a sheet."""
CELL = 112
"""Side of each, in pixels."""

Item = TypeVar("Item")

_COLUMNS = 10
_GAP = 8
_LINE = 16
_HEAD = 30


def spread(items: Sequence[Item]) -> list[Item]:
    """Return `items`, or MOST of them, evenly from first to last."""
    if len(items) <= MOST:
        return list(items)
    return [items[i * len(items) // MOST] for i in range(MOST)]


def contact_sheet(title: str, tiles: Sequence[tuple[Image.Image | None, Sequence[str]]]) -> Image.Image:
    """Return a sheet with a picture, and lines of text below it, for each of `tiles`, in rows of ten.

    What is larger than a cell is made smaller; smaller pictures are enlarged. None is an empty cell.
    """
    lines = max((len(texts) for _, texts in tiles), default=0)
    high = CELL + lines * _LINE + _GAP
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (CELL + _GAP) + _GAP, _HEAD + rows * high + _GAP), "white")
    canvas = ImageDraw.Draw(sheet)
    canvas.text((_GAP, _GAP), title, fill="black", font=ImageFont.load_default(15))
    font = ImageFont.load_default(11)
    for i, (picture, texts) in enumerate(tiles):
        x, y = _GAP + i % _COLUMNS * (CELL + _GAP), _HEAD + i // _COLUMNS * high
        canvas.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill="#e8e8e8")
        if picture is not None:
            small = _fitted(picture)
            sheet.paste(small, (x + (CELL - small.width) // 2, y + (CELL - small.height) // 2))
        for line, text in enumerate(texts):
            canvas.text((x, y + CELL + line * _LINE), _cut(text, font), fill="#333333", font=font)
    return sheet


def _fitted(picture: Image.Image) -> Image.Image:
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return as much of the text as there is room for."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    while text and font.getlength(text) > CELL:
        text = f"{text[:-2]}…" if len(text) > 2 else ""
    return text
