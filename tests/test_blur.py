"""Faces made unrecognisable: in a picture, and along a film."""

import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.drawing.blurring import blur_faces
from mien.emotions import SETS
from mien.errors import OutputError
from mien.results import Face, Frame, Result
from mien.sinks import Veil, veil

SCORES = dict.fromkeys(SETS["eight"], 0.125)
NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def changed(pixels: np.ndarray) -> np.ndarray:
    return (pixels != NOISE).any(axis=2)


def test_a_real_face_is_no_longer_found(astronaut_pixels, analyzer):
    (face,) = analyzer.analyze(astronaut_pixels).faces
    blurred = blur_faces(astronaut_pixels, [face.box])
    assert analyzer.analyze(blurred).faces == ()
    x1, y1, x2, y2 = map(round, face.box)
    steps = np.abs(np.diff(blurred[y1:y2, x1:x2].astype(int), axis=1))
    assert steps.max() < 12 < np.abs(np.diff(astronaut_pixels[y1:y2, x1:x2].astype(int), axis=1)).max()


def test_the_picture_itself_and_what_is_far_from_faces_are_left_alone():
    before = NOISE.copy()
    blurred = blur_faces(NOISE, [(140, 100, 180, 150)])
    assert np.array_equal(NOISE, before)
    mask = changed(blurred)
    assert mask[100:150, 140:180].mean() > 0.95  # the whole box, its corners too
    assert mask[90:160, 150:170].mean() > 0.95  # hair and chin
    rows, columns = np.where(mask)
    assert rows.min() > 75 and rows.max() < 175
    assert columns.min() > 120 and columns.max() < 200
    assert np.array_equal(blur_faces(NOISE, []), NOISE)


def test_nothing_of_what_is_fine_is_left_and_the_edge_is_soft():
    blurred = blur_faces(NOISE, [(100, 60, 200, 180)])
    assert blurred[60:180, 100:200].reshape(-1, 3).std(axis=0).max() < 8 < NOISE.std() / 5
    white = np.full((240, 320, 3), 255, np.uint8)
    white[60:180, 100:200] = 0
    assert np.abs(np.diff(blur_faces(white, [(100, 60, 200, 180)]).astype(int), axis=1)).max() < 40


def test_what_differs_only_in_detail_cannot_be_told_apart():
    """Two pictures with the same mean in every cell become the same: what is lost is lost."""
    checks = np.indices((240, 320)).sum(axis=0) % 2 * 100
    one, two = (np.repeat((60 + shown)[..., None], 3, axis=2).astype(np.uint8) for shown in (checks, 100 - checks))
    box = (100, 60, 200, 180)
    inside = np.s_[60:180, 100:200]
    difference = blur_faces(one, [box])[inside].astype(int) - blur_faces(two, [box])[inside]
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 30, 40), (300, 210, 320, 240), (-50, -50, 20, 20), (0, 0, 320, 240), (10, 10, 11, 12),
        (100, 100, 100, 100), (310, 100, 400, 200), (319.6, 239.6, 320, 240),
    ],
)  # fmt: skip
def test_faces_at_the_border_and_of_any_size(box):
    blurred = blur_faces(NOISE, [box])
    assert (blurred.shape, blurred.dtype) == (NOISE.shape, np.uint8)
    assert changed(blurred).any()


def test_a_box_beside_the_picture_changes_nothing():
    assert np.array_equal(blur_faces(NOISE, [(1000, 1000, 1100, 1100)]), NOISE)


def test_a_face_that_fills_a_large_photo_is_blurred_at_once():
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    start = time.process_time()
    Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(20))
    plain = time.process_time() - start
    start = time.process_time()
    blur_faces(pixels, [(500, 0, 3500, 3000)])
    assert time.process_time() - start < 10 * plain  # it takes two to three times as long


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.got: list[tuple[Result, Frame | None]] = []
        self.closed: bool | None = None
        self.fails_at = fails_at

    def write(self, result: Result, frame: Frame | None) -> None:
        if self.fails_at == len(self.got):
            raise OutputError("full")
        self.got.append((result, frame))

    def close(self, *, complete: bool = True) -> None:
        self.closed = complete


def shot(number: int, boxes: dict[int | None, tuple], source="clip", fps=10.0) -> tuple[Result, Frame]:
    faces = tuple(Face(box, 0.9, SCORES, track=track) for track, box in boxes.items())
    result = Result(source, number, number / fps, 320, 240, "m", faces)
    return result, Frame(NOISE, source, number, result.time, lambda width, height: NOISE)


def veiled(shots, complete=True) -> Kept:
    kept = Kept()
    sink = Veil([kept])
    for result, frame in shots:
        sink.write(result, frame)
    sink.close(complete=complete)
    return kept


def places(kept: Kept) -> list[tuple[int, int] | None]:
    """Return about where the middle of the blur is in each frame."""
    found = []
    for _, frame in kept.got:
        rows, columns = np.where(changed(frame.pixels))
        found.append((round(columns.mean()), round(rows.mean())) if len(rows) else None)
    return found


def box(x: float, y: float = 120) -> tuple[float, float, float, float]:
    return (x - 15, y - 20, x + 15, y + 20)


def test_results_and_their_order_stay_as_they_are():
    shots = [shot(number, {1: box(100)}) for number in range(30)]
    shots[10] = (replace(shots[10][0], error="bad"), None)
    shots.append((Result("photo", 0, None, 320, 240, "m", shots[0][0].faces), Frame(NOISE, "photo")))
    kept = veiled(shots)
    assert [result for result, _ in kept.got] == [result for result, _ in shots]
    assert [frame is None for _, frame in kept.got] == [frame is None for _, frame in shots]
    assert all(changed(frame.pixels)[110:130, 90:110].mean() > 0.95 for _, frame in kept.got if frame)
    assert kept.closed is True
    assert veiled(shots, complete=False).closed is False


def test_stills_go_straight_through():
    kept = Kept()
    Veil([kept]).write(Result("p", 0, None, 320, 240, "m"), Frame(NOISE, "p"))
    assert len(kept.got) == 1


def test_a_face_that_is_missed_is_blurred_on_its_way():
    seen = {number: {1: box(60 + 10 * number)} for number in (0, 1, 2, 3, 12, 13)}
    kept = veiled(shot(number, seen.get(number, {})) for number in range(14))
    for number, place in enumerate(places(kept)):
        assert abs(place[0] - (60 + 10 * number)) <= 2, number


def test_the_blur_begins_before_and_ends_after_a_face_is_seen():
    seen = {number: {1: box(100)} for number in range(20, 31)}
    kept = veiled(shot(number, seen.get(number, {})) for number in range(60))
    assert [number for number, place in enumerate(places(kept)) if place] == list(range(13, 36))


def test_a_gap_longer_than_a_second_is_not_bridged():
    seen = {number: {1: box(100)} for number in (*range(10), *range(40, 50))}
    kept = veiled(shot(number, seen.get(number, {})) for number in range(50))
    assert [number for number, place in enumerate(places(kept)) if not place] == list(range(15, 34))


def test_tracks_do_not_mix_and_films_know_nothing_of_each_other():
    one = [shot(number, {1: box(100), 2: box(200)} if number < 5 else {}) for number in range(5)]
    other = [shot(number, {}, "other") for number in range(10)]
    kept = veiled([*one, *other])
    assert all(place for place in places(kept)[:5])
    assert not any(places(kept)[5:])


def test_frames_wait_for_a_second_and_no_longer_and_less_where_they_are_large(monkeypatch):
    def waiting() -> int:
        kept = Kept()
        sink = Veil([kept])
        most = 0
        for number in range(60):
            sink.write(*shot(number, {}))
            most = max(most, number + 1 - len(kept.got))
        assert all(frame.reduced is None for _, frame in kept.got)  # it would hold on to the decoded frame
        return most

    assert waiting() == 11
    monkeypatch.setattr(veil, "_HELD", 3 * NOISE.nbytes)
    assert waiting() == 3


def test_where_few_frames_can_wait_a_missed_face_is_blurred_at_its_last_place(monkeypatch):
    monkeypatch.setattr(veil, "_HELD", 2 * NOISE.nbytes)
    seen = {number: {1: box(100 if number == 0 else 200)} for number in (0, 5)}
    kept = veiled(shot(number, seen.get(number, {})) for number in range(6))
    assert [abs(place[0] - 100) < 3 for place in places(kept)[:3]] == [True] * 3


def test_an_inner_sink_that_fails_does_not_keep_the_others_open():
    broken, kept = Kept(fails_at=0), Kept()
    sink = Veil([broken, kept])
    sink.write(*shot(0, {}))
    with pytest.raises(OutputError, match="full"):
        sink.close()
    assert (broken.closed, kept.closed) == (False, False)
