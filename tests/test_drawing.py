import numpy as np
import pytest

from mien.drawing import annotate
from mien.emotions import COLOURS, SETS, Emotion
from mien.results import Face, Result


def result(boxes, size, emotion=Emotion.HAPPY, confidence=0.7) -> Result:
    rest = (1 - confidence) / 7
    scores = {e: confidence if e == emotion else rest for e in SETS["eight"]}
    faces = tuple(Face(box=tuple(map(float, box)), detection=0.9, scores=scores) for box in boxes)
    return Result("p", 0, None, *size, "m", faces)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_the_picture_itself_is_left_alone():
    pixels = np.full((300, 400, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(100, 100, 180, 200)], (400, 300)))
    assert (pixels == 90).all()
    assert annotated.shape == pixels.shape
    assert annotated.dtype == np.uint8


def test_nobody_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert np.array_equal(annotate(pixels, result([], (80, 60))), pixels)


@pytest.mark.parametrize("emotion", list(Emotion))
def test_the_box_has_the_colour_of_the_emotion(emotion):
    pixels = np.full((300, 400, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(100, 100, 180, 200)], (400, 300), emotion))
    assert tuple(annotated[150, 101]) == COLOURS[emotion]
    assert tuple(annotated[199 - 1, 140]) == COLOURS[emotion]


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


def test_without_room_beside_the_distribution_is_a_strip_below():
    pixels = np.full((120, 90, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(5, 20, 85, 100)], (90, 120)))
    strip = annotated[100]
    assert {tuple(colour) for colour in strip[6:84]} >= {COLOURS[Emotion.HAPPY], COLOURS[Emotion.ANGRY]}


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1, 1), (0, 0, 1, 1)),
        ((20, 20), (0, 0, 20, 20)),
        ((200, 150), (150, 100, 200, 150)),
        ((4000, 3000), (0, 0, 4000, 3000)),
        ((400, 300), (10, 0, 10, 0)),
    ],
)
def test_faces_at_the_border_and_of_any_size(size, box):
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    assert annotate(pixels, result([box], size)).shape == pixels.shape


def test_without_room_beside_the_bars_go_below():
    pixels = np.full((300, 200, 3), 90, np.uint8)
    annotated = annotate(pixels, result([(40, 60, 160, 180)], (200, 300)))
    assert (annotated[185:] == COLOURS[Emotion.HAPPY]).all(axis=2).any()


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
