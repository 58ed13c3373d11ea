"""Who is who in a film, and scores over time."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.detectors import Mtcnn
from mien.emotions import SETS, Emotion
from mien.results import Detection, Frame
from mien.sources import read_frames
from mien.tracking import LONGEST, Smoother, Watcher
from mien.tracking.appearance import distance, signature
from mien.tracking.assignment import assign
from mien.tracking.motion import Motion, gap, overlap

from conftest import EXAMPLES

RATE = 25
WALL = np.random.default_rng(0).integers(90, 130, (360, 640, 3), np.uint8)
RED, BLUE, GREEN = ((200, 60, 50), (90, 20, 20)), ((70, 90, 220), (20, 20, 90)), ((90, 200, 80), (20, 90, 20))


class Script:
    """A detector that knows where the faces are: it follows, too, if it is told to."""

    def __init__(self, boxes):
        self.boxes, self.looked = boxes, []

    def __call__(self, frames):
        self.looked += [frame.index for frame in frames]
        return [[Detection(box, score) for box, score in self.boxes[frame.index]] for frame in frames]


def film(people, seconds, rate=RATE):
    """Return frames and a detector: people are (colours, place), place(t) a face's centre, or None while hidden.

    The later ones stand before the earlier ones, and hide them.
    """
    frames, boxes = [], []
    for i in range(round(seconds * rate)):
        pixels, seen = WALL.copy(), []
        for colours, place in people:
            if (centre := place(i / rate)) is None:
                continue
            x, y = map(round, centre)
            box = (x - 25, y - 30, x + 25, y + 30)
            for (left, top, right, bottom), colour in zip(
                (box, (x - 50, y + 35, x + 50, y + 160)), colours, strict=True
            ):
                pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour
            seen = [other for other in seen if overlap(other, box) < 0.3] + [box]
        frames.append(Frame(pixels, "film", i, i / rate))
        boxes.append([(tuple(map(float, box)), 0.99) for box in seen])
    return frames, Script(boxes)


def numbers(frames, detector, people, interval=0.0):
    """Return for each of `people` how often which number was at their place."""
    watcher, owners = Watcher(detector, interval=interval), defaultdict(Counter)
    for frame in frames:
        for face, number in watcher(frame):
            centre = (face.box[0] + face.box[2]) / 2
            nearest = min(
                range(len(people)), key=lambda one: abs((people[one][1](frame.time) or (1e6, 0))[0] - centre)
            )
            owners[nearest][number] += 1
    return [dict(owners[i]) for i in range(len(people))]


def test_two_people_keep_their_numbers_when_they_cross():
    people = [(RED, lambda t: (100 + 150 * t, 150)), (BLUE, lambda t: (540 - 150 * t, 160))]
    first, second = numbers(*film(people, 3), people)
    assert len(first) == len(second) == 1
    assert first.keys() != second.keys()


def test_two_people_keep_their_numbers_when_they_meet_and_turn_back():
    people = [
        (RED, lambda t: (100 + 140 * min(t, 3 - t), 150)),
        (BLUE, lambda t: (480 - 120 * min(t, 3 - t), 160)),
    ]
    first, second = numbers(*film(people, 3), people)
    assert len(first) == len(second) == 1
    assert first.keys() != second.keys()


@pytest.mark.parametrize("speed", [0, 120])
def test_a_person_keeps_the_number_over_a_second_of_being_hidden(speed):
    people = [(RED, lambda t: None if 1 <= t < 2 else (100 + speed * t, 150))]
    assert numbers(*film(people, 3), people) == [{1: 50}]


def test_another_person_in_the_same_place_after_a_second_gets_another_number():
    people = [(RED, lambda t: (200, 150) if t < 1 else None), (GREEN, lambda t: (200, 150) if t >= 2 else None)]
    assert numbers(*film(people, 3), people) == [{1: 25}, {2: 25}]


def test_who_comes_back_after_long_gets_a_new_number():
    people = [(RED, lambda t: None if 1 <= t < 4 else (200, 150))]
    assert numbers(*film(people, 5), people) == [{1: 25, 2: 25}]


def test_numbers_go_from_left_to_right_among_those_who_come_together():
    people = [(RED, lambda t: (500, 150)), (BLUE, lambda t: (100, 150)), (GREEN, lambda t: (300, 150))]
    assert numbers(*film(people, 0.2), people) == [{3: 5}, {1: 5}, {2: 5}]


def test_a_face_that_is_unsure_and_gone_at_once_is_nobody():
    frames, detector = film([(RED, lambda t: (200, 150))], 1)
    detector.boxes[5].append(((500.0, 100.0, 540.0, 150.0), 0.85))
    assert numbers(frames, detector, [(RED, lambda t: (200, 150))]) == [{1: 25}]
    for boxes in detector.boxes[8:20]:  # one that stays is somebody
        boxes.append(((500.0, 100.0, 540.0, 150.0), 0.85))
    people = [(RED, lambda t: (200, 150)), (BLUE, lambda t: (520, 125))]
    assert numbers(frames, detector, people) == [{1: 25}, {2: 10}]


def test_another_scene_has_other_people():
    frames, detector = film([(RED, lambda t: (200, 150))], 2)
    later, _ = film([(BLUE, lambda t: (200, 150))], 2)
    cut = [*frames[:25], *(Frame(255 - f.pixels, "film", f.index, f.time) for f in later[25:])]
    watcher = Watcher(detector, interval=0.0)
    assert [number for frame in cut for _, number in watcher(frame)] == [1] * 25 + [2] * 25


def test_a_frame_a_second_is_enough_for_people_who_stay():
    people = [(RED, lambda t: (200 + 5 * t, 150)), (BLUE, lambda t: (450 - 5 * t, 160))]
    assert numbers(*film(people, 10, rate=1), people) == [{1: 10}, {2: 10}]


# --- with the real detector ------------------------------------------------------------------------------------


class Counting:
    """MTCNN, and when it looked at whole frames."""

    def __init__(self):
        self.mtcnn, self.looked = Mtcnn(), []

    def __call__(self, frames):
        self.looked += [frame.time for frame in frames]
        return self.mtcnn(frames)

    def follow(self, frame, boxes):
        return self.mtcnn.follow(frame, boxes)


@pytest.mark.parametrize(("name", "people"), [("two_faces.gif", 2), ("three_people_walking.gif", 3)])
@pytest.mark.parametrize("interval", [0.0, 0.4])
def test_real_people_keep_one_number_each_and_nobody_else_appears(shared, name, people, interval):
    watcher = Watcher(Mtcnn(), interval=interval)
    frames = list(read_frames(shared / "media" / name))
    seen = Counter(number for frame in frames for _, number in watcher(frame))
    assert seen == {number: len(frames) for number in range(1, people + 1)}


def test_followed_boxes_are_where_the_detector_would_find_them(shared):
    detector = Counting()
    watcher, whole = Watcher(detector, interval=0.4), Mtcnn()
    overlaps = []
    for frame in itertools.islice(read_frames(shared / "media" / "one_face_20s.mp4"), 0, 200):
        ((face, number),) = watcher(frame)
        assert number == 1
        if frame.index % 5 == 0:
            overlaps.append(overlap(face.box, whole([frame])[0][0].box))
    assert np.median(overlaps) > 0.9
    assert min(overlaps) > 0.75
    assert len(detector.looked) < 50
    assert max(np.diff(detector.looked)) <= 0.4 + 1 / 24


@pytest.fixture(scope="module")
def cutouts():
    """Return two of the people in the example, as pictures of one size."""
    with Image.open(EXAMPLES / "three_people.jpg") as image:
        image = image.convert("RGB")
    (found,) = Mtcnn()([Frame(np.asarray(image), "three")])
    pictures = []
    for face in sorted(found, key=lambda face: face.box)[:2]:
        x1, y1, x2, y2 = face.box
        side = x2 - x1
        around = (x1 - 0.4 * side, y1 - 0.5 * side, x2 + 0.4 * side, y2 + 0.9 * side)
        pictures.append(np.asarray(image.crop(tuple(map(round, around))).resize((150, 220))))
    return pictures


def pasted(cutouts, places, seconds):
    """Yield a film of the cut-outs at places(t): the left edge of each, or None."""
    wall = np.asarray(Image.fromarray(WALL[::20, ::20]).resize((640, 360), Image.Resampling.BICUBIC))
    for i in range(round(seconds * RATE)):
        pixels = wall.copy()
        for cutout, place in zip(cutouts, places, strict=True):
            if (left := place(i / RATE)) is not None:
                x = round(left)
                pixels[80:300, max(0, x) : x + 150] = cutout[:, max(0, -x) :][:, : 640 - max(0, x)]
        yield Frame(pixels, "pasted", i, i / RATE)


@pytest.mark.parametrize("interval", [0.0, 0.4])
def test_real_faces_that_cross_keep_their_numbers(cutouts, interval):
    places = (lambda t: 20 + 150 * t, lambda t: 470 - 150 * t)
    watcher, owners = Watcher(Mtcnn(), interval=interval), defaultdict(Counter)
    for frame in pasted(cutouts, places, 3):
        apart = abs(places[0](frame.time) - places[1](frame.time)) > 60
        for face, number in watcher(frame) if apart else [*watcher(frame)][:0]:
            centre = (face.box[0] + face.box[2]) / 2 - 75
            owners[min((0, 1), key=lambda one: abs(places[one](frame.time) - centre))][number] += 1
    assert [list(owners[i]) for i in (0, 1)] == [[1], [2]]


def test_real_faces_hidden_for_a_second_keep_their_numbers(cutouts):
    watcher, seen = Watcher(Mtcnn(), interval=0.4), []
    for frame in pasted(cutouts[:1], [lambda t: None if 1 <= t < 2 else 100 + 60 * t], 3):
        seen += [(frame.time, number) for _, number in watcher(frame)]
    assert {number for _, number in seen} == {1}
    assert min(time for time, _ in seen if time >= 1) < 2.2  # found again soon, not at the next search by the clock
    assert not [time for time, _ in seen if 1 <= time < 2]


def test_a_flash_changes_nobody(cutouts):
    watcher, seen = Watcher(Mtcnn(), interval=0.4), Counter()
    for frame in pasted(cutouts, [lambda t: 20, lambda t: 400], 1):
        if frame.index in (10, 11):
            frame = replace(frame, pixels=np.minimum(frame.pixels * 1.5, 255).astype(np.uint8))
        seen.update(number for _, number in watcher(frame))
    assert seen == {1: 25, 2: 25}


def test_who_comes_in_is_seen_soon_and_long_before_the_next_search(cutouts):
    watcher = Watcher(Mtcnn(), interval=LONGEST)
    places = (lambda t: 20, lambda t: 400 if t >= 0.6 else None)
    seen = [(frame.time, number) for frame in pasted(cutouts, places, 1.2) for _, number in watcher(frame)]
    assert min(time for time, number in seen if number == 2) <= 0.76


# --- the parts --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_the_assignment_is_the_cheapest(data):
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    costs = np.array(
        data.draw(
            st.lists(
                st.lists(st.one_of(st.just(np.inf), st.floats(0, 20)), min_size=columns, max_size=columns),
                min_size=rows,
                max_size=rows,
            )
        )
    )

    def total(pairs):  # a row and a column that are left alone cost the limit together
        return sum(costs[pair] for pair in pairs) + 9.0 * (min(rows, columns) - len(pairs))

    found = assign(costs, 9.0)
    assert len({row for row, _ in found}) == len({column for _, column in found}) == len(found)
    assert all(costs[pair] < 9.0 for pair in found)
    small, large = sorted((rows, columns))
    best = min(
        total([pair for pair in pairs if costs[pair] < 9.0])
        for order in itertools.permutations(range(large), small)
        for pairs in [[(i, j) if rows <= columns else (j, i) for i, j in enumerate(order)]]
    )
    assert total(found) == pytest.approx(best)


def test_nobody_is_assigned_to_nobody():
    assert assign(np.empty((0, 3)), 9.0) == assign(np.empty((3, 0)), 9.0) == []


def test_motion_goes_on_and_fades():
    motion = Motion((0, 0, 40, 40), 0.0)
    for i in range(1, 26):
        motion.update((4.0 * i, 0, 40 + 4.0 * i, 40), i / 25)  # 100 pixels a second
    soon, sure = motion.expected(1.1)
    late, unsure = motion.expected(3.0)
    assert soon[0] == pytest.approx(110, abs=3)
    assert 120 < late[0] < 180
    assert 0 < sure < unsure
    assert motion.expected(0.5)[0] == pytest.approx(motion.box)  # it does not look back


def test_a_face_half_hidden_does_not_change_its_way():
    motion = Motion((0, 0, 40, 40), 0.0)
    for i in range(1, 21):
        motion.update((4.0 * i, 0, 40 + 4.0 * i, 40), i / 25)
    for i in range(21, 25):
        motion.update((4.0 * i, 10, 15 + 4.0 * i, 35), i / 25)
    assert motion.expected(1.2)[0][0] == pytest.approx(120, abs=25)


def test_gap_and_overlap():
    assert gap((0, 0, 10, 10), (10, 0, 20, 10)) == pytest.approx(1)
    assert gap((0, 0, 10, 10), (-5, -5, 15, 15)) == pytest.approx(np.log(2))
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (2, 2, 4, 4), of_smaller=True) == 1
    assert overlap((0, 0, 10, 10), (20, 0, 30, 10)) == 0


def test_colours_tell_people_apart_where_both_show_them():
    frames, _ = film([(RED, lambda t: (200, 150)), (BLUE, lambda t: (400, 150))], 0.04)
    red, blue = (signature(frames[0].pixels, (x - 25, 120, x + 25, 180)) for x in (200, 400))
    dark = signature(frames[0].pixels // 2 + 10, (175, 120, 225, 180))
    assert distance(red, red) < 0.01
    assert distance(red, blue) > 0.4
    assert distance(red, dark) < distance(red, blue)
    # the clothes are out of the picture in one: they do not count as different
    cut = signature(frames[0].pixels[:185], (175, 120, 225, 180))
    assert distance(red, cut) < 0.1


def test_smoothing_halves_what_is_a_half_life_old():
    smooth = Smoother(0.5)
    angry, happy = {Emotion.ANGRY: 1.0, Emotion.HAPPY: 0.0}, {Emotion.ANGRY: 0.0, Emotion.HAPPY: 1.0}
    assert smooth(1, 0.0, angry) == angry
    # two sightings, of which the first weighs half
    assert smooth(1, 0.5, happy)[Emotion.ANGRY] == pytest.approx(1 / 3)
    assert smooth(2, 0.5, happy) == happy  # another person
    assert smooth(1, 100.0, angry)[Emotion.ANGRY] == pytest.approx(1)


def test_the_first_sightings_are_averaged_evenly():
    smooth, emotions = Smoother(10.0), SETS["three"]
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    for i, row in enumerate(scores):
        smoothed = smooth(1, i / 1000, dict(zip(emotions, row, strict=True)))
    assert list(smoothed.values()) == pytest.approx(scores.mean(axis=0), abs=0.01)
    assert sum(smoothed.values()) == pytest.approx(1)


@given(st.floats(0.01, 2), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_smoothing_does_not_depend_on_the_frame_rate(half_life, steps):
    """Showing each frame twice changes nothing beyond what lies between the two."""
    once, twice = Smoother(half_life), Smoother(half_life)
    for i, p in enumerate(steps):
        scores = {Emotion.HAPPY: p, Emotion.SAD: 1 - p}
        one = once(1, i * 1.0, scores)
        twice(1, i * 1.0, scores)
        two = twice(1, i * 1.0, scores)
    assert one[Emotion.HAPPY] == pytest.approx(two[Emotion.HAPPY], abs=1e-9)
