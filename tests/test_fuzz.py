"""Whatever is given to the pure parts and to the readers, they keep their promises or say in one line what is wrong.

`make fuzz` gives them more of it.
"""

import json
import math
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mien.align import Geometry, crop_faces, face_frame
from mien.emotions import SETS, Emotion, project
from mien.errors import DataError, ModelError
from mien.models.metadata import KEY, parse_metadata
from mien.results import Detection, Face, Frame, Result
from mien.tracking import Smoother, Watcher
from mien.tracking.tracker import Tracker

import fuzzing
from conftest import COMPLETE

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
"""What may stand in JSON, with the numbers that Python adds to it."""


def place(value, path):
    """Return one way into nested lists and objects."""
    for key in path:
        value = value[key]
    return value


def with_something_changed(draw, whole: dict) -> dict:
    """Return `whole` with anything in place of one of its parts, or without it."""
    changed = json.loads(json.dumps(whole))
    parts: list[tuple] = []

    def gather(value, path):
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            parts.append((*path, key))
            gather(value[key], (*path, key))

    gather(changed, ())
    *path, last = draw(st.sampled_from(parts))
    if draw(st.booleans()):
        place(changed, path)[last] = draw(ANYTHING)
    else:
        del place(changed, path)[last]
    return changed


# --- readers of bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(fuzzing.TARGETS))
def test_a_reader_takes_bytes_or_refuses_them(name):
    target = fuzzing.TARGETS[name]
    assert all(fuzzing.one(target, seed) for seed in target.seeds)
    contents = fuzzing.mutations(target.seeds, random.Random(0))
    taken = [fuzzing.one(target, next(contents)) for _ in range(40 if name == "fer2013-csv" else 250)]
    assert not all(taken)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata", b"[" * 100_000),
        ("metadata", b'{"size": ' + b"9" * 5000 + b"}"),
        ("metadata", json.dumps(COMPLETE | {"scores": [[[None, None]]]}).encode()),
        ("records-csv", b"source\rframe,time\n"),
    ],
)
def test_what_fuzzing_has_found(name, content):
    assert not fuzzing.one(fuzzing.TARGETS[name], content)


# --- metadata and records ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_metadata_are_read_or_refused(data):
    text = json.dumps(with_something_changed(data.draw, COMPLETE))
    try:
        metadata = parse_metadata({KEY: text}, file="test.onnx")
    except ModelError as error:
        assert str(error).startswith("test.onnx: its metadata ")
    else:
        assert parse_metadata({KEY: metadata.to_json()}, file="test.onnx") == metadata
        assert metadata.size > 0 and metadata.scale > 0 and metadata.outputs


SHARES = st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda shares: sum(shares) > 1e-3)


def distribution(shares: list[float]) -> dict[Emotion, float]:
    return project(dict(zip(Emotion, shares, strict=True)), tuple(Emotion))


COORDINATE = st.floats(-1e6, 1e6)
FACES = st.builds(
    Face,
    box=st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE),
    detection=st.none() | st.floats(0, 1),
    scores=SHARES.map(distribution),
    track=st.none() | st.integers(1, 10**6),
    smoothed=st.none() | SHARES.map(distribution),
)
RESULTS = st.builds(
    Result,
    source=st.text(),
    frame=st.integers(0, 10**9),
    time=st.none() | st.floats(0, 1e9),
    width=st.none() | st.integers(1, 10**5),
    height=st.none() | st.integers(1, 10**5),
    model=st.text(max_size=20),
    faces=st.lists(FACES, max_size=3).map(tuple),
    error=st.none() | st.text(),
)


@settings(deadline=None)
@given(RESULTS)
def test_a_record_says_all_that_it_is_read_for(result):
    record = json.loads(json.dumps(result.to_record(), allow_nan=False))
    read = Result.from_record(record)
    again = read.to_record()
    for face in (*again["faces"], *record["faces"]):
        del face["emotion"]  # which of two it is, where rounding has made them equal, a record does not say
    assert again == record
    assert (read.source, read.frame, read.time, read.error) == (
        result.source,
        result.frame,
        result.time,
        result.error,
    )
    for face, before in zip(read.faces, result.faces, strict=True):
        # rounding may make equal what was not
        assert face.shown[before.emotion] == pytest.approx(face.confidence, abs=2e-6)
        assert sum(face.scores.values()) == pytest.approx(1, abs=1e-5)


@settings(deadline=None)
@given(st.data())
def test_a_record_is_read_or_refused(data):
    (face,) = (distribution([0.1] * 8),)
    whole = Result("a.jpg", 0, 0.5, 9, 9, "m", (Face((0, 0, 9, 9), 0.5, face, track=1, smoothed=face),)).to_record()
    try:
        read = Result.from_record(with_something_changed(data.draw, whole))
    except DataError as error:
        assert str(error).startswith("not a record of mien")
    else:
        json.dumps(read.to_record(), allow_nan=False)


# --- pure parts -------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1e300), min_size=8, max_size=8), st.sampled_from(sorted(SETS)))
def test_a_projection_is_a_distribution_in_the_same_order(values, name):
    scores = dict(zip(Emotion, values, strict=True))
    projected = project(scores, SETS[name])
    assert list(projected) == list(SETS[name])
    assert all(0 <= share <= 1 for share in projected.values())
    assert sum(projected.values()) == pytest.approx(1)
    for one in projected:
        for other in projected:
            assert not (scores[one] > scores[other] and projected[one] < projected[other])


BOXES = st.tuples(COORDINATE, COORDINATE, st.floats(0, 1e6), st.floats(0, 1e6)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=5, max_size=5).map(tuple)
DETECTIONS = st.builds(
    Detection, box=BOXES, score=st.none() | st.floats(0, 1), landmarks=st.none() | POINTS, is_crop=st.booleans()
)
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@settings(deadline=None)
@given(st.lists(DETECTIONS, max_size=3), st.integers(1, 64), st.booleans())
def test_any_face_is_cut_out_in_the_asked_shape(detections, size, grey):
    crops = crop_faces(PICTURE, detections, size=size, geometry=Geometry(1.1, 0.1, -0.1), grey=grey)
    assert crops.shape == ((len(detections), size, size) if grey else (len(detections), size, size, 3))
    for detection in detections:
        frame = face_frame(detection, Geometry(1.1, 0.1, -0.1))
        assert all(map(math.isfinite, (frame.x, frame.y, frame.side, frame.turn))) and frame.side > 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.lists(DETECTIONS, max_size=4)), max_size=8))
def test_people_have_one_number_each_whatever_is_found(frames):
    tracker, time = Tracker(), 0.0
    for passed, found in frames:
        time += passed + 1e-3
        frame = Frame(PICTURE, "film", time=time)
        faces = tracker.update(frame, time, found=found, followed={})
        numbers = [track.number for _, track in faces if track.confirmed]
        assert len(set(numbers)) == len(numbers) <= len(found)
        assert all(face in found for face, _ in faces)


class Wild:
    """Finds, and follows, whatever it is told to."""

    def __init__(self, found):
        self._found = iter(found)

    def __call__(self, frames):
        return [next(self._found, []) for _ in frames]

    def follow(self, frame, boxes):
        faces = next(self._found, [])
        return [faces[i] if i < len(faces) else None for i in range(len(boxes))]


@settings(deadline=None)
@given(st.lists(st.lists(DETECTIONS, max_size=3), max_size=12), st.floats(0, 0.5))
def test_a_film_is_watched_whatever_is_found(found, interval):
    watcher = Watcher(Wild(found), interval=interval)
    for i in range(len(found)):
        numbers = [number for _, number in watcher(Frame(PICTURE, "film", index=i, time=i / 10))]
        assert len(set(numbers)) == len(numbers)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), SHARES), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_what_is_smoothed_is_a_distribution(sightings, half_life):
    assume(all(math.isfinite(passed) for passed, _ in sightings))
    smoother, time = Smoother(half_life), 0.0
    for passed, shares in sightings:
        time += passed
        smoothed = smoother(1, time, distribution(shares))
        assert all(0 <= share <= 1 + 1e-9 for share in smoothed.values())
        assert sum(smoothed.values()) == pytest.approx(1)
