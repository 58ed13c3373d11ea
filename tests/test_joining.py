"""Who is who over the segments of a film, each watched without the others."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from mien.tracking import Joiner, SegmentWatcher, Watcher
from test_tracking import BLUE, GREEN, RATE, RED, Script, film


def cut_at(frames, *times):
    return [replace(frame, segment=sum(frame.time >= time for time in times)) for frame in frames]


def watched(frames, detector, interval=0.4):
    watcher = Watcher(detector, interval=interval)
    return [[(face.box, number) for face, number in watcher(frame)] for frame in frames]


def joined(frames, detector, interval=0.4):
    """Return what `watched` does, by way of watching the segments apart, and joining them afterwards."""
    parts, before = [], None
    for segment in sorted({frame.segment for frame in frames}):
        watcher, looks, first = SegmentWatcher(detector, interval=interval, before=before), [], None
        for frame in frames:
            if frame.segment == segment:
                looks.append(watcher(frame))
                first = first or watcher.edge
                before = frame.time
        parts.append(pickle.dumps((looks, first, watcher.edge, watcher.people)))
    assert max(map(len, parts)) < 1000 * RATE  # bytes: nothing of the pictures
    joiner, seen = Joiner(), []
    for looks, first, last, people in map(pickle.loads, parts):
        joiner.begin(first)
        for look in looks:
            joiner.add([track for _, track in look.faces], look.begun, look.confirmed)
            numbered = [(face.box, joiner.number(track)) for face, track in look.faces]
            seen.append([(box, number) for box, number in numbered if number is not None])
        joiner.end(last, people)
    return seen


def numbers(seen):
    return [[number for _, number in faces] for faces in seen]


def test_people_keep_their_numbers_over_borders():
    people = [(RED, lambda t: (150 + 40 * t, 150)), (BLUE, lambda t: (500 - 20 * t, 160))]
    frames, detector = film(people, 4)
    frames = cut_at(frames, 1.0, 1.2, 2.4)
    seen = watched(frames, detector)
    assert {tuple(sorted(here)) for here in numbers(seen)} == {(1, 2)}
    assert seen == joined(frames, detector)
    assert numbers(seen) == numbers(watched(*film(people, 4)))


def test_who_is_hidden_at_a_border_is_known_again():
    people = [(RED, lambda t: None if 0.8 < t < 1.5 else (150 + 20 * t, 150)), (BLUE, lambda t: (500, 160))]
    frames, detector = film(people, 3)
    frames = cut_at(frames, 1.0, 1.2)
    seen = watched(frames, detector)
    assert {tuple(sorted(here)) for here in numbers(seen)} == {(1, 2), (2,)}
    assert seen == joined(frames, detector)


def test_who_comes_back_after_long_gets_a_new_number():
    people = [(RED, lambda t: None if 0.8 < t < 3.5 else (150, 150))]
    frames, detector = film(people, 4)
    assert {number for here in numbers(watched(cut_at(frames, 1.0), detector)) for number in here} == {1, 2}


def test_another_scene_at_a_border_has_other_people():
    first, second = (film([(colours, lambda t: (300, 150))], 1) for colours in (RED, GREEN))
    bright = [
        replace(frame, pixels=255 - frame.pixels, index=frame.index + RATE, time=frame.time + 1)
        for frame in second[0]
    ]
    frames = cut_at(first[0] + bright, 1.0)
    seen = watched(frames, Script(first[1].boxes + second[1].boxes))
    assert numbers(seen) == [[1]] * RATE + [[2]] * RATE
    assert seen == joined(frames, Script(first[1].boxes + second[1].boxes))


def test_a_face_that_is_not_sure_goes_on_at_once_if_it_was_known_and_waits_if_not():
    frames, detector = film([(RED, lambda t: (300, 150))], 2)
    for boxes in detector.boxes:
        boxes[0] = (boxes[0][0], 0.9)
    stranger = ((500.0, 40.0, 550.0, 100.0), 0.9)  # seen once, in the first frame after the border
    detector.boxes[RATE].append(stranger)
    frames = cut_at(frames, 1.0)
    seen = watched(frames, detector, interval=0.0)
    assert numbers(seen)[RATE:] == [[1]] * RATE
    assert seen == joined(frames, detector, interval=0.0)


def test_nobody_is_two_in_one_frame():
    frames, detector = film([(RED, lambda t: (300, 150))], 2)
    for boxes in detector.boxes:
        boxes[0] = (boxes[0][0], 0.9)  # so that it takes some frames to confirm, in which the person is awaited still
    beside = tuple(edge + (30.0 if i % 2 == 0 else 0.0) for i, edge in enumerate(detector.boxes[0][0][0]))
    detector.boxes[RATE + 1].append((beside, 0.9))
    assert numbers(watched(cut_at(frames, 1.0), detector, interval=0.0))[RATE:] == [[1]] * RATE


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_apart_or_together_the_same(seed):
    random = np.random.default_rng(seed)

    def wanderer():
        x, y, speed, away = (
            random.uniform(60, 580),
            random.uniform(80, 250),
            random.uniform(-60, 60),
            random.uniform(0, 4),
        )
        return lambda t: None if away < t < away + 0.6 else (np.clip(x + speed * t, 30, 610), y)

    people = [(colours, wanderer()) for colours in (RED, BLUE, GREEN, RED)]
    frames, detector = film(people, 5, rate=10)
    frames = cut_at(frames, *sorted(random.uniform(0.5, 4.5, 3)))
    assert watched(frames, detector) == joined(frames, detector)
