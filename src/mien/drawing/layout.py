"""Where everything that is drawn on a picture goes: labels that do not overlap, bars where there is room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from mien.emotions import Emotion
from mien.results import Face

Rect = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels; x2 and y2 are edges, not the last pixels."""

ROWS = 4
"""Emotions in the panel of bars: the most probable ones."""
_CROWD = 8  # with more faces than this, panels of bars hide more than they tell
_UNTOLD = 200.0  # cost of a face without a label: twice that of a label which hides another face
_LEGIBLE = 11  # pixels: the smallest text that reads well
_STEPS = tuple(round(_LEGIBLE * 1.2**step) for step in range(20))  # so that text in a film changes size seldom


@dataclass(frozen=True, slots=True)
class Tag:
    """What a label says, where it stands, and how far that is from what one would wish: 0 and up."""

    text: str
    place: Rect
    cost: float


@dataclass(frozen=True, slots=True)
class Mark:
    """What is drawn for one face.

    Attributes:
        face: as in the result.
        box: the face's box in whole pixels, at least one of them, all in the picture.
        tag: the label; None where no legible one finds a place.
        panel: the place of the bars; None where there is no room for them.

    """

    face: Face
    box: Rect
    tag: Tag | None
    panel: Rect | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of the text in pixels, one for the whole picture, and the marks, largest face first."""

    text: int
    marks: tuple[Mark, ...]


def lay_out(faces: Sequence[Face], picture: tuple[int, int]) -> Layout:
    """Decide what is drawn where in a picture of that width and height.

    Labels and panels lie wholly in the picture and never on each other. Panels keep off every face, labels
    off other faces wherever a place for that is found, with smaller text or fewer words if need be.
    """
    faces = sorted(faces, key=lambda face: face.box[1] - face.box[3])
    boxes = [_whole(face.box, picture) for face in faces]
    best: tuple[float, int, list[Tag | None]] | None = None
    for text in _text_sizes(boxes, picture):
        tags = _place_tags(faces, boxes, picture, Style(text))
        costs = [_UNTOLD if tag is None else tag.cost for tag in tags]
        if best is None or sum(costs) < best[0]:
            best = (sum(costs), text, tags)
        if max(costs, default=0.0) < 1:
            break
    if best is None:
        return Layout(_LEGIBLE, ())
    _, text, tags = best
    panels = _place_panels(faces, boxes, tags, picture, Style(text))
    return Layout(text, tuple(map(Mark, faces, boxes, tags, panels)))


class Style:
    """Sizes in pixels that follow from the size of the text."""

    def __init__(self, text: int) -> None:
        self.font = ImageFont.load_default(text)
        self.row = round(text * 1.35)
        self.gap = max(3, text // 3)
        self.line = max(2, round(text / 7))
        self.edge = max(1, text // 24)
        self.bars = round(4.5 * text)

    def width(self, text: str) -> int:
        """Return the pixels that `text` takes."""
        return math.ceil(self.font.getlength(text))

    def strip(self, box: Rect) -> int:
        """Return the height of the strip in `box`: none where its parts could not be told apart."""
        high = max(6, self.row // 3)
        return 0 if min(box[2] - box[0], box[3] - box[1]) < 6 * high else high

    def names(self, face: Face) -> int:
        """Return the pixels that the names in a panel of bars take."""
        return max(self.width(emotion) for emotion, _ in ranked(face)[:ROWS])


def _text_sizes(boxes: Sequence[Rect], picture: tuple[int, int]) -> list[int]:
    """Return the sizes of text to try, the one to wish for first.

    A photograph is shown at the size of the screen, whatever its pixels: text of a hundredth of its longer
    side then has about the size of a caption.
    """
    if not boxes:
        return []
    long, short = max(picture), min(picture)
    face = median_low(y2 - y1 for _, y1, _, y2 in boxes)
    wished = max(min(long / 100, short / 12), min(face / 8, short / 22))
    least = min(long / 150, short / 15)
    fitting = [step for step in _STEPS if least <= step <= max(wished, _LEGIBLE)]
    return fitting[::-1] or [_LEGIBLE]


def _wordings(face: Face) -> list[str]:
    """Return what a label may say, from everything to the least; each names the emotion."""
    name = str(face.emotion)
    numbered = name if face.track is None else f"#{face.track} {name}"
    short = name if len(name) <= 5 else name[:4] + "."
    return list(dict.fromkeys((f"{numbered} {face.confidence:.0%}", numbered, name, short)))


def _place_tags(
    faces: Sequence[Face], boxes: Sequence[Rect], picture: tuple[int, int], style: Style
) -> list[Tag | None]:
    """Place every label, then again with all the others known, while that improves anything."""
    choices = [_tags(face, number, boxes, picture, style) for number, face in enumerate(faces)]
    chosen: list[Tag | None] = [None] * len(faces)
    for _ in range(4):
        before = list(chosen)
        for number, tags in enumerate(choices):
            others = [tag.place for at, tag in enumerate(chosen) if tag is not None and at != number]
            free = (tag for tag in tags if not any(_overlap(tag.place, other) for other in others))
            chosen[number] = next(free, None)
        if chosen == before:
            break
    return chosen


def _tags(face: Face, number: int, boxes: Sequence[Rect], picture: tuple[int, int], style: Style) -> list[Tag]:
    """Return the labels that a face could have, best first, judged by their words and the faces they cover."""
    box = boxes[number]
    x1, y1, x2, y2 = box
    strip, high = style.strip(box), style.row
    texts, places, costs = [], [], []
    for dropped, text in enumerate(_wordings(face)):
        wide = style.width(text) + 2 * style.gap
        columns = [min(max(0, left), picture[0] - wide) for left in (x1, x2 - wide, (x1 + x2 - wide) // 2)]
        corners = [(left, top) for top in (y1 - high, y2) for left in columns]
        corners += [(left, top) for left in (x2, x1 - wide) for top in (y1, y2 - high)]
        corners += [(left, top) for top in (y1, y2 - high - strip) for left in columns]
        for order, (left, top) in enumerate(corners):
            place = (left, top, left + wide, top + high)
            if _within(place, picture):
                texts.append(text)
                places.append(place)
                costs.append(dropped + order / 100)
    if not places:
        return []
    # To cover another face is worst; the own one may lose a little of its forehead rather than its label a
    # word; and a label between two boxes, touching both, leaves open whose it is.
    others = [other for at, other in enumerate(boxes) if at != number]
    spots = np.array(places, dtype=np.float64)
    areas = np.array([_area(place) for place in places])
    own = _covered(spots, [box])[:, 0]
    touching = (_covered(spots + np.array((-2, -2, 2, 2)), others) > 0).any(axis=1)
    cost = np.array(costs) + 10 * own / _area(box) + 0.3 * (touching & (own == 0))
    cost += 100 * _covered(spots, others).sum(axis=1) / areas
    return sorted(map(Tag, texts, places, cost.tolist()), key=lambda tag: tag.cost)


def _place_panels(
    faces: Sequence[Face],
    boxes: Sequence[Rect],
    tags: Sequence[Tag | None],
    picture: tuple[int, int],
    style: Style,
) -> list[Rect | None]:
    """Place the bars right, left, below or above each box, where they come near nothing else."""
    panels: list[Rect | None] = []
    for number, face in enumerate(faces):
        near = [box for at, box in enumerate(boxes) if at != number]
        near += [tag.place for at, tag in enumerate(tags) if tag is not None and at != number]
        near += [panel for panel in panels if panel is not None]
        taken = [(x1 - style.gap, y1 - style.gap, x2 + style.gap, y2 + style.gap) for x1, y1, x2, y2 in near]
        own = tags[number]
        taken += [boxes[number]] if own is None else [boxes[number], own.place]
        places = _panels(face, boxes[number], picture, style) if len(faces) <= _CROWD else []
        free = (place for place in places if not any(_overlap(place, other) for other in taken))
        panels.append(next(free, None))
    return panels


def _panels(face: Face, box: Rect, picture: tuple[int, int], style: Style) -> list[Rect]:
    wide = style.names(face) + style.bars + 3 * style.gap
    high = ROWS * style.row + style.gap
    beside = min(box[1], picture[1] - high)
    along = min(max(0, (box[0] + box[2] - wide) // 2), picture[0] - wide)
    away = style.edge + 1
    corners = [(box[2] + away, beside), (box[0] - away - wide, beside)]
    for clear in (away, style.row + away):  # the second leaves room for the label
        corners += [(along, box[3] + clear), (along, box[1] - clear - high)]
    places = [(left, top, left + wide, top + high) for left, top in corners]
    return [place for place in places if _within(place, picture)]


def ranked(face: Face) -> list[tuple[Emotion, float]]:
    """Return the emotions with their probabilities, the most probable first; smoothed where they are."""
    shown = face.scores if face.smoothed is None else face.smoothed
    return sorted(shown.items(), key=lambda entry: -entry[1])


def _whole(box: tuple[float, float, float, float], picture: tuple[int, int]) -> Rect:
    x1, y1, x2, y2 = map(round, box)
    x1, y1 = min(max(0, x1), picture[0] - 1), min(max(0, y1), picture[1] - 1)
    return (x1, y1, min(max(x1 + 1, x2), picture[0]), min(max(y1 + 1, y2), picture[1]))


def _within(place: Rect, picture: tuple[int, int]) -> bool:
    return min(place[:2]) >= 0 and place[2] <= picture[0] and place[3] <= picture[1]


def _overlap(a: Rect, b: Rect) -> int:
    """Return the area that two rectangles share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _covered(places: NDArray[np.float64], others: Sequence[Rect]) -> NDArray[np.float64]:
    """Return the area that each place shares with each other rectangle, shape (places, others)."""
    a, b = places[:, None, :], np.array(others, dtype=np.float64).reshape(1, -1, 4)
    shared: NDArray[np.float64] = np.maximum(
        0, np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    )
    return shared[..., 0] * shared[..., 1]


def _area(rect: Rect) -> int:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])
