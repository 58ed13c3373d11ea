"""Results as HTML: each face's crop, its distribution as bars with numbers, and all scores as one table."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.emotions import COLOURS, Emotion
from mien.results import Face, Result

_SHOWN = 24
"""Faces that get a card of their own; the table and the downloads have all."""

_CROP = 160
_MARGIN = 0.15


def percent(share: float, places: int = 1) -> str:
    """Return a share as it is shown everywhere: 93.1%."""
    return f"{share:.{places}%}"


def colour(emotion: Emotion) -> str:
    """Return an emotion's colour as CSS writes it."""
    return "rgb({} {} {})".format(*COLOURS[emotion])


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def bars(scores: Mapping[Emotion, float], *, caption: str) -> str:
    """Return a table with a row an emotion: its name, a bar, and the number that the bar shows."""
    top = max(scores, key=scores.__getitem__)
    rows = "".join(
        f"<tr class='{'mien-top' if emotion == top else ''}'><th scope='row'>{emotion}</th>"
        f"<td class='mien-trough'><span style='width:{100 * share:.1f}%;background:{colour(emotion)}'></span></td>"
        f"<td class='mien-number'>{percent(share)}</td></tr>"
        for emotion, share in scores.items()
    )
    return f"<table class='mien-bars'><caption class='mien-hidden'>{escape(caption)}</caption>{rows}</table>"


def cards(result: Result, pixels: NDArray[np.uint8]) -> str:
    """Return a card a face, from left to right."""
    shown = "".join(_card(face, number, pixels) for number, face in enumerate(result.faces[:_SHOWN], start=1))
    rest = len(result.faces) - _SHOWN
    more = f"<p>And {plural(rest, 'more face')}, in the table and the downloads.</p>" if rest > 0 else ""
    return f"<div class='mien-cards'>{shown}</div>{more}"


def table(result: Result) -> str:
    """Return all scores as one table, with a row a face."""
    emotions = list(result.faces[0].scores)
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("face", "expression", *emotions, "box"))
    rows = "".join(
        f"<tr><th scope='row'>{number}</th><td>{face.emotion}</td>"
        + "".join(f"<td>{face.scores[emotion]:.4f}</td>" for emotion in emotions)
        + f"<td>{', '.join(f'{edge:.0f}' for edge in face.box)}</td></tr>"
        for number, face in enumerate(result.faces, start=1)
    )
    return (
        "<details class='mien-details'><summary>All scores as a table</summary>"
        "<div class='mien-scroll' tabindex='0' role='region' aria-label='All scores'>"
        "<table class='mien-table'><caption>Probabilities, one row a face; boxes are x1, y1, x2, y2 in pixels"
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def problem(message: str) -> str:
    """Return a line that says what went wrong."""
    first = message.split(maxsplit=1)[0]
    text = message[:1].upper() + message[1:] if first.isalpha() else message  # names of files stay as they are
    return f"<p class='mien-problem' role='alert'>{escape(text if text.endswith('.') else text + '.')}</p>"


def note(message: str) -> str:
    """Return a line that says how things stand."""
    return f"<p class='mien-note'>{escape(message)}</p>"


def empty(message: str) -> str:
    """Return what stands where results will be."""
    return f"<p class='mien-empty'>{escape(message)}</p>"


def thumbnail(image: Image.Image) -> str:
    """Return a small copy of a picture as a data URL."""
    small = image.convert("RGB")
    small.thumbnail((_CROP, _CROP))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _card(face: Face, number: int, pixels: NDArray[np.uint8]) -> str:
    return (
        f"<article class='mien-card' aria-label='Face {number}: {face.emotion}, {percent(face.confidence)}'>"
        f"<header><img src='{_crop(face, pixels)}' alt='Face {number}, cut from the picture' width='72' height='72'>"
        f"<h2>Face {number}<br><strong>{face.emotion}</strong> {percent(face.confidence)}</h2></header>"
        f"{bars(face.scores, caption=f'Probabilities of face {number}')}</article>"
    )


def _crop(face: Face, pixels: NDArray[np.uint8]) -> str:
    """Return the square about a face as a data URL."""
    x1, y1, x2, y2 = face.box
    side = max(1.0, max(x2 - x1, y2 - y1) * (1 + 2 * _MARGIN))
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    edges = (round(left), round(top), round(left + side), round(top + side))
    inner = (max(0, edges[0]), max(0, edges[1]), min(pixels.shape[1], edges[2]), min(pixels.shape[0], edges[3]))
    image = Image.new("RGB", (edges[2] - edges[0], edges[3] - edges[1]), (128, 128, 128))
    cut = Image.fromarray(pixels[inner[1] : inner[3], inner[0] : inner[2]])
    image.paste(cut, (inner[0] - edges[0], inner[1] - edges[1]))
    return thumbnail(image)
