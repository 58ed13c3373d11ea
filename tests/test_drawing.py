import itertools
import time

import numpy as np
import pytest

from mien.drawing import annotate
from mien.drawing.layout import lay_out
from mien.drawing.painting import readable_on
from mien.emotions import COLOURS, SETS, Emotion
from mien.results import Face, Result

EMOTIONS = SETS["eight"]

# Machado, Oliveira and Fernandes (2009), complete loss of one kind of cone, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def result(boxes, size, emotion=Emotion.HAPPY, confidence=0.7) -> Result:
    rest = (1 - confidence) / 7
    scores = {e: confidence if e == emotion else rest for e in EMOTIONS}
    faces = tuple(Face(box=tuple(map(float, box)), detection=0.9, scores=scores) for box in boxes)
    return Result("p", 0, None, *size, "m", faces)


def face(box, number=0, track=None, smoothed=None) -> Face:
    scores = {e: 0.65 if e == EMOTIONS[number % 8] else 0.05 for e in EMOTIONS}
    return Face(tuple(map(float, box)), 0.9, scores, track=track, smoothed=smoothed)


def crowd(size, columns, rows, wide, pitch=None) -> list[Face]:
    """Return faces in a grid over the picture, or as close together as `pitch` says."""
    across, down = pitch or (size[0] / columns, size[1] / rows)
    left, top = (size[0] - columns * across) / 2, (size[1] - rows * down) / 2
    corners = [(left + column * across, top + row * down) for row in range(rows) for column in range(columns)]
    return [face((x + 2, y + 20, x + 2 + wide, y + 20 + 1.1 * wide), number) for number, (x, y) in enumerate(corners)]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def tags(layout) -> list:
    return [mark.tag for mark in layout.marks if mark.tag is not None]


def linear(colour) -> np.ndarray:
    c = np.asarray(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b) -> float:
    dark, light = sorted(float(linear(colour) @ (0.2126, 0.7152, 0.0722)) for colour in (a, b))
    return (light + 0.05) / (dark + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    t = XYZ @ np.clip(light, 0, 1) / XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one, two) -> float:
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = np.hypot(g * a1, b1), np.hypot(g * a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, g * a1)) % 360, np.degrees(np.arctan2(b2, g * a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    lightness, chroma = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    t = sum(w * np.cos(np.radians(k * hue + s)) for w, k, s in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6)))
    t += 1 - 0.2 * np.cos(np.radians(4 * hue - 63))
    sl = 1 + 0.015 * lightness**2 / np.sqrt(20 + lightness**2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    turned = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    rt = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * turned
    dl, dc, dh = (l2 - l1) / sl, (c2 - c1) / sc, dh / sh
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rt * dc * dh))


def test_the_measure_of_distance_agrees_with_published_values():  # Sharma, Wu and Dalal (2005)
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000((50, 2.5, 0), (58, 24, 15)) == pytest.approx(19.4535, abs=1e-4)
    assert ciede2000((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_can_be_told_apart_by_everyone(sight):
    seen = {emotion: lab(SIGHT[sight] @ linear(colour)) for emotion, colour in COLOURS.items()}
    for one, two in itertools.combinations(seen, 2):
        assert ciede2000(seen[one], seen[two]) > 16, (one, two)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_text_stands_out_on_its_tag_and_bars_on_their_panel(emotion):
    colour = COLOURS[emotion]
    assert contrast(colour, readable_on(colour)) >= 4.5
    assert contrast(colour, (24, 24, 27)) >= 3


@pytest.mark.parametrize("grey", range(0, 256, 5))
def test_text_stands_out_on_any_colour(grey):
    assert contrast((grey, grey, grey), readable_on((grey, grey, grey))) >= 4.5


def test_the_picture_itself_is_left_alone():
    pixels = np.full((300, 400, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(100, 100, 180, 200)], (400, 300)))
    assert (pixels == 90).all()
    assert annotated.shape == pixels.shape
    assert annotated.dtype == np.uint8


def test_nobody_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert np.array_equal(annotate(pixels, result([], (80, 60))), pixels)


def test_the_same_is_drawn_every_time():
    pixels = np.full((720, 1280, 3), 90, np.uint8)
    shown = Result("p", 0, None, 1280, 720, "m", tuple(crowd((1280, 720), 6, 5, 80)))
    assert np.array_equal(annotate(pixels, shown), annotate(pixels, shown))


@pytest.mark.parametrize("emotion", list(Emotion))
def test_the_box_has_the_colour_of_the_emotion(emotion):
    pixels = np.full((300, 400, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(100, 100, 180, 200)], (400, 300), emotion))
    assert tuple(annotated[150, 101]) == COLOURS[emotion]
    assert tuple(annotated[199 - 1, 140]) == COLOURS[emotion]


@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_box_stands_out_on_any_background(emotion, background):
    pixels = np.full((300, 400, 3), background, np.uint8)
    edge = annotate(pixels, result([(100, 100, 180, 200)], (400, 300), emotion))[150, 98:106]
    assert max(contrast(pixel, pixels[0, 0]) for pixel in edge) >= 3


def test_the_face_is_not_covered():
    pixels = np.full((300, 400, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(100, 100, 180, 200)], (400, 300)))
    assert not changed(pixels, annotated)[110:190, 110:170].any()


def test_bars_grow_with_the_probability():
    pixels = np.full((300, 400, 3), 90, np.uint8)

    def yellow(confidence: float) -> int:
        annotated = annotate(pixels, result([(40, 100, 120, 200)], (400, 300), confidence=confidence))
        beside = annotated[:, 125:]
        return int((beside == COLOURS[Emotion.HAPPY]).all(axis=2).sum())

    assert 0 < yellow(0.4) < yellow(0.7) < yellow(0.99)


def test_without_room_beside_the_distribution_is_a_strip():
    pixels = np.full((120, 90, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(5, 20, 85, 100)], (90, 120)))
    strip = annotated[97]
    assert {tuple(colour) for colour in strip[6:84]} >= {COLOURS[Emotion.HAPPY], COLOURS[Emotion.ANGRY]}


def test_without_room_beside_the_bars_go_below():
    pixels = np.full((300, 200, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(40, 60, 160, 180)], (200, 300)))
    assert (annotated[185:] == COLOURS[Emotion.HAPPY]).all(axis=2).any()


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1, 1), (0, 0, 1, 1)),
        ((20, 20), (0, 0, 20, 20)),
        ((200, 150), (150, 100, 200, 150)),
        ((4000, 3000), (0, 0, 4000, 3000)),
        ((400, 300), (10, 0, 10, 0)),
        ((400, 300), (400, 300, 400, 300)),
    ],
)
def test_faces_at_the_border_and_of_any_size(size, box):
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    assert annotate(pixels, result([box], size)).shape == pixels.shape


@pytest.mark.parametrize(
    "boxes",
    [
        [(100, 100, 180, 200), (200, 100, 280, 200), (320, 110, 400, 210)],
        [(100, 60, 180, 160), (100, 165, 180, 265), (105, 270, 185, 370)],
    ],
)
def test_labels_and_panels_do_not_cover_other_faces(boxes):
    pixels = np.full((400, 700, 3), 90, np.uint8)
    mask = changed(pixels, annotate(pixels, result(boxes, (700, 400))))
    for x1, y1, x2, y2 in boxes:
        assert not mask[y1 + 20 : y2 - 10, x1 + 10 : x2 - 10].any()  # the label of a face may lie on its own top


@pytest.mark.parametrize(
    ("size", "wide", "pitch"),
    [
        ((1280, 720), 80, None),
        ((1920, 1080), 60, None),
        ((3840, 2160), 280, None),
        ((1280, 720), 70, (70, 77)),
        ((3840, 2160), 100, (100, 110)),
        ((640, 480), 50, (50, 55)),
    ],
)
def test_thirty_faces_have_labels_that_cover_neither_each_other_nor_another_face(size, wide, pitch):
    layout = lay_out(crowd(size, 6, 5, wide, pitch), size)
    assert len(tags(layout)) == 30
    for one, two in itertools.combinations(tags(layout), 2):
        assert not overlap(one.place, two.place)
    for mark in layout.marks:
        x1, y1, x2, y2 = mark.tag.place
        assert 0 <= x1 < x2 <= size[0]
        assert 0 <= y1 < y2 <= size[1]
        assert str(mark.face.emotion).startswith(mark.tag.text.split()[0].rstrip("."))
        for other in layout.marks:
            x1, y1, x2, y2 = other.box  # neighbours share an edge, which rounding may make a pixel wide
            assert other is mark or not overlap(mark.tag.place, (x1 + 1, y1 + 1, x2 - 1, y2 - 1))


def test_labels_do_not_overlap_even_where_faces_are_smaller_than_words():
    placed = tags(lay_out(crowd((640, 480), 6, 5, 20, (20, 22)), (640, 480)))
    assert len(placed) >= 12
    assert not any(overlap(one.place, two.place) for one, two in itertools.combinations(placed, 2))


def test_there_are_no_panels_in_a_crowd_but_there_are_where_there_is_room():
    assert not any(mark.panel for mark in lay_out(crowd((3840, 2160), 6, 5, 80), (3840, 2160)).marks)
    assert all(mark.panel for mark in lay_out(crowd((1280, 720), 2, 2, 80), (1280, 720)).marks)


@pytest.mark.parametrize("corner", list(itertools.product((0, 170, 340), (0, 120, 240))))
def test_at_every_border_the_full_label_and_the_panel_lie_in_the_picture(corner):
    box = (*corner, corner[0] + 60, corner[1] + 60)
    (mark,) = lay_out([face(box, EMOTIONS.index("contemptuous"))], (400, 300)).marks
    assert mark.tag.text == "contemptuous 65%"
    for x1, y1, x2, y2 in (mark.tag.place, mark.panel):
        assert 0 <= x1 < x2 <= 400
        assert 0 <= y1 < y2 <= 300
        assert not overlap((x1, y1, x2, y2), box)


@pytest.mark.parametrize(("size", "least"), [((200, 133), 11), ((1000, 667), 11), ((3840, 2160), 32)])
def test_text_is_legible_at_the_size_a_picture_is_shown(size, least):
    assert lay_out([face((10, 30, 40, 60))], size).text >= least


@pytest.mark.parametrize(
    ("width", "text"), [(200, "contemptuous 65%"), (90, "contemptuous"), (60, "cont."), (20, None)]
)
def test_a_label_without_room_is_shortened_and_at_last_left_out(width, text):
    (mark,) = lay_out([face((0, 40, 20, 60), EMOTIONS.index("contemptuous"))], (width, 80)).marks
    assert (mark.tag and mark.tag.text) == text


def test_a_tracked_face_shows_its_number_and_a_smoothed_one_its_smoothed_scores():
    smoothed = dict.fromkeys(EMOTIONS, 0.01) | {Emotion.SAD: 0.93}
    (mark,) = lay_out([face((50, 50, 130, 150), track=3, smoothed=smoothed)], (400, 300)).marks
    assert mark.tag.text == "#3 sad 93%"


def test_thirty_faces_on_a_large_photo_are_drawn_at_once():
    pixels = np.zeros((2160, 3840, 3), np.uint8)
    shown = Result("p", 0, None, 3840, 2160, "m", tuple(crowd((3840, 2160), 6, 5, 280)))
    start = time.process_time()
    annotate(pixels, shown)
    assert time.process_time() - start < 0.5
