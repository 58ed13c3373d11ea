"""Where everything that is drawn on a picture goes: labels that do not overlap, bars where there is room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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

# Of films, in frames, costs and probabilities:
_PATIENCE = 30  # frames that a choice lasts before one that is only better takes its place
_MEMORY = 30  # frames that the choices for a face outlast its being seen
_GAIN = 0.25  # how much better than the present place another must be: more than all the orders of preference make
_SWAP = 0.05  # how much more probable an emotion must be than the one above it before they change places


@dataclass(frozen=True, slots=True)
class Tag:
    """What a label says, where it stands, and how far that is from what one would wish: 0 and up.

    `choice` is the number of its wording and that of the corner of the box at which it stands.
    """

    text: str
    place: Rect
    cost: float
    choice: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is drawn for one face.

    Attributes:
        face: as in the result.
        box: the face's box in whole pixels, at least one of them, all in the picture.
        tag: the label; None where no legible one finds a place.
        panel: the place of the bars; None where there is no room for them.
        side: the number of the side of the box on which that is; None as well.
        ranking: all emotions with their probabilities, in the order in which they are shown.

    """

    face: Face
    box: Rect
    tag: Tag | None
    panel: Rect | None
    side: int | None
    ranking: tuple[tuple[Emotion, float], ...]


@dataclass(frozen=True, slots=True)
class Habit:
    """How the face of a track was last drawn in a film, for how many frames in this way, and how many ago."""

    tag: tuple[int, int] | None
    side: int | None
    order: tuple[Emotion, ...]
    held: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of the text in pixels, one for the whole picture, and the marks, largest face first.

    Of a film, also the habits by track and the number of frames since another size of text was thought of.
    """

    text: int
    marks: tuple[Mark, ...]
    film: bool = False
    habits: Mapping[int, Habit] = field(default_factory=dict)
    held: int = 0


FIRST = Layout(0, (), film=True)
"""What stands before the first frame of a film."""


def lay_out(faces: Sequence[Face], picture: tuple[int, int], before: Layout | None = None) -> Layout:
    """Decide what is drawn where in a picture of that width and height.

    Labels and panels lie wholly in the picture and never on each other. Panels keep off every face, labels
    off other faces wherever a place for that is found, with smaller text or fewer words if need be.

    In a film, where `before` is the layout of the frame before (or `FIRST`), what is drawn for a track stays as it
    was: the size of the text, the wording of the label and its corner of the box, the side of the bars and their
    order. It changes at once where it no longer fits, and for something better only now and then. Labels have room
    for any percentage, and so keep their width.
    """
    film, before = before is not None, before or FIRST
    faces = sorted(faces, key=lambda face: face.box[1] - face.box[3])
    boxes = [_whole(face.box, picture) for face in faces]
    habits = [None if face.track is None else before.habits.get(face.track) for face in faces]
    best: tuple[float, Style, list[Tag | None]] | None = None
    held = before.held + 1
    for text in _text_sizes(boxes, picture, before):
        style = Style(text, film=film)
        tags = _place_tags(faces, boxes, picture, style, habits)
        costs = [_UNTOLD if tag is None else tag.cost for tag in tags]
        if best is None or sum(costs) < best[0] - (_GAIN if film else 0):
            best = (sum(costs), style, tags)
        if max(costs, default=0.0) < 1 or (text == before.text and held < _PATIENCE):
            break
        held = 0
    if best is None:
        return Layout(before.text, (), film, _remember((), before)) if film else Layout(_LEGIBLE, ())
    _, style, tags = best
    panels, sides = _place_panels(faces, boxes, tags, picture, style, habits)
    rankings = [ranked(face, () if habit is None else habit.order) for face, habit in zip(faces, habits, strict=True)]
    marks = tuple(map(Mark, faces, boxes, tags, panels, sides, rankings))
    return Layout(style.text, marks, film, _remember(marks, before), held) if film else Layout(style.text, marks)


def _remember(marks: Sequence[Mark], before: Layout) -> dict[int, Habit]:
    """Return the habits after a frame; those of tracks that are long gone are forgotten."""
    habits = {
        track: replace(habit, missed=habit.missed + 1)
        for track, habit in before.habits.items()
        if habit.missed < _MEMORY
    }
    for mark in marks:
        if mark.face.track is None:
            continue
        tag = None if mark.tag is None else mark.tag.choice
        old = habits.get(mark.face.track)
        held = old.held + 1 if old is not None and (old.tag, old.side) == (tag, mark.side) else 0
        habits[mark.face.track] = Habit(tag, mark.side, tuple(emotion for emotion, _ in mark.ranking), held)
    return habits


class Style:
    """Sizes in pixels that follow from the size of the text."""

    def __init__(self, text: int, *, film: bool = False) -> None:
        self.text, self.film = text, film
        self.font = ImageFont.load_default(text)
        self.row = round(text * 1.35)
        self.gap = max(3, text // 3)
        self.line = max(2, round(text / 7))
        self.edge = max(1, text // 24)
        self.bars = round(4.5 * text)

    def width(self, text: str) -> int:
        """Return the pixels that `text` takes; in a film, with whatever percentage at its end."""
        if self.film and text.endswith("%"):
            text = text.rpartition(" ")[0] + " 100%"
        return math.ceil(self.font.getlength(text))

    def strip(self, box: Rect) -> int:
        """Return the height of the strip in `box`: none where its parts could not be told apart."""
        high = max(6, self.row // 3)
        return 0 if min(box[2] - box[0], box[3] - box[1]) < 6 * high else high

    def names(self, face: Face) -> int:
        """Return the pixels that the names in a panel of bars take; in a film, whichever they are."""
        return max(self.width(emotion) for emotion, _ in ranked(face)[: None if self.film else ROWS])


def _text_sizes(boxes: Sequence[Rect], picture: tuple[int, int], before: Layout) -> list[int]:
    """Return the sizes of text to try, the one to wish for first; in a film, the present one until it is far off.

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
    sizes = fitting[::-1] or [_LEGIBLE]
    if before.text and sizes[0] / 1.5 < before.text < sizes[0] * 1.5 and before.text >= sizes[-1]:
        sizes = [before.text, *(size for size in sizes if size != before.text)]
    return sizes


def _wordings(face: Face) -> list[str]:
    """Return what a label may say, from everything to the least; each names the emotion."""
    name = str(face.emotion)
    numbered = name if face.track is None else f"#{face.track} {name}"
    short = name if len(name) <= 5 else name[:4] + "."
    return list(dict.fromkeys((f"{numbered} {face.confidence:.0%}", numbered, name, short)))


def _place_tags(
    faces: Sequence[Face],
    boxes: Sequence[Rect],
    picture: tuple[int, int],
    style: Style,
    habits: Sequence[Habit | None],
) -> list[Tag | None]:
    """Place every label, then again with all the others known, while that improves anything.

    In a film those that have a place take it first.
    """
    choices = [_tags(face, number, boxes, picture, style) for number, face in enumerate(faces)]
    chosen: list[Tag | None] = [None] * len(faces)
    for number, (tags, habit) in enumerate(zip(choices, habits, strict=True)):
        if habit is not None:
            present = next((tag for tag in tags if tag.choice == habit.tag), None)
            chosen[number] = None if present is None or _taken(present, chosen, number) else present
    kept = list(chosen)
    for _ in range(4):
        before = list(chosen)
        for number, (tags, habit) in enumerate(zip(choices, habits, strict=True)):
            found = next((tag for tag in tags if not _taken(tag, chosen, number)), None)
            present = kept[number]
            if habit is not None and present is not None and not _taken(present, chosen, number):
                # for what is only a better place, it waits; not so where it comes to lie on somebody's face
                gain = present.cost - (_UNTOLD if found is None else found.cost)
                found = found if gain > (_GAIN if habit.held >= _PATIENCE else 1 + _GAIN) else present
            chosen[number] = found
        if chosen == before:
            break
    return chosen


def _taken(tag: Tag, chosen: Sequence[Tag | None], number: int) -> bool:
    """Return whether the place is another face's than that of `number`."""
    return any(
        _overlap(tag.place, other.place) for at, other in enumerate(chosen) if other is not None and at != number
    )


def _tags(face: Face, number: int, boxes: Sequence[Rect], picture: tuple[int, int], style: Style) -> list[Tag]:
    """Return the labels that a face could have, best first, judged by their words and the faces they cover."""
    box = boxes[number]
    x1, y1, x2, y2 = box
    strip, high = style.strip(box), style.row
    texts, places, costs, choices = [], [], [], []
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
                choices.append((dropped, order))
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
    return sorted(map(Tag, texts, places, cost.tolist(), choices), key=lambda tag: tag.cost)


def _place_panels(
    faces: Sequence[Face],
    boxes: Sequence[Rect],
    tags: Sequence[Tag | None],
    picture: tuple[int, int],
    style: Style,
    habits: Sequence[Habit | None],
) -> tuple[list[Rect | None], list[int | None]]:
    """Place the bars right, left, below or above each box, where they come near nothing else; return the sides."""
    panels: list[Rect | None] = [None] * len(faces)
    sides: list[int | None] = [None] * len(faces)
    for number in sorted(range(len(faces)), key=lambda at: (habit := habits[at]) is None or habit.side is None):
        habit = habits[number]
        near = [box for at, box in enumerate(boxes) if at != number]
        near += [tag.place for at, tag in enumerate(tags) if tag is not None and at != number]
        near += [panel for panel in panels if panel is not None]
        taken = [(x1 - style.gap, y1 - style.gap, x2 + style.gap, y2 + style.gap) for x1, y1, x2, y2 in near]
        own = tags[number]
        taken += [boxes[number]] if own is None else [boxes[number], own.place]
        places = _panels(faces[number], boxes[number], picture, style) if len(faces) <= _CROWD else {}
        free = [side for side, place in places.items() if not any(_overlap(place, other) for other in taken)]
        if habit is not None:  # the present side; and where there was none, none for a while, lest bars come and go
            waits = habit.side is None and habit.held < _PATIENCE
            free = [side for side in free if side == habit.side] or ([] if waits else free)
        if free:
            sides[number], panels[number] = free[0], places[free[0]]
    return panels, sides


def _panels(face: Face, box: Rect, picture: tuple[int, int], style: Style) -> dict[int, Rect]:
    """Return the places in the picture by the number of the side, the one to wish for first."""
    wide = style.names(face) + style.bars + 3 * style.gap
    high = ROWS * style.row + style.gap
    beside = min(box[1], picture[1] - high)
    along = min(max(0, (box[0] + box[2] - wide) // 2), picture[0] - wide)
    away = style.edge + 1
    corners = [(box[2] + away, beside), (box[0] - away - wide, beside)]
    for clear in (away, style.row + away):  # the second leaves room for the label
        corners += [(along, box[3] + clear), (along, box[1] - clear - high)]
    places = [(left, top, left + wide, top + high) for left, top in corners]
    return {side: place for side, place in enumerate(places) if _within(place, picture)}


def ranked(face: Face, before: Sequence[Emotion] = ()) -> tuple[tuple[Emotion, float], ...]:
    """Return the emotions with their probabilities, the most probable first; smoothed where they are.

    The first is the face's emotion. The others keep the order they had `before` until they clearly differ.
    """
    shown = face.scores if face.smoothed is None else face.smoothed
    order = sorted(shown, key=lambda emotion: -shown[emotion])
    if before and set(before) == set(shown):
        order = [order[0], *(emotion for emotion in before if emotion != order[0])]
        for end in range(2, len(order)):
            at = end
            while at > 1 and shown[order[at]] > shown[order[at - 1]] + _SWAP:
                order[at - 1], order[at] = order[at], order[at - 1]
                at -= 1
    return tuple((emotion, shown[emotion]) for emotion in order)


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
