"""Films through the Analyzer: who showed what, when."""

import gc
import io
import os
import subprocess
import sys
import threading
import time
from itertools import islice, pairwise

import numpy as np
import pytest

import mien
from mien.errors import UsageError
from mien.evaluation.scenes import RATE, write_film
from mien.results import Frame
from mien.sources import read_frames
from test_films import encode
from test_live import in_real_time, serving

from conftest import overlap


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Return three seconds of one face, over which a camera sways."""
    path = tmp_path_factory.mktemp("films") / "one.mp4"
    write_film(path, 1, (320, 240), 3)
    return path


@pytest.fixture(scope="module")
def results(analyzer, film):
    return list(analyzer.stream(film))


def test_there_is_a_result_for_every_frame_at_its_time(results):
    assert [(r.frame, r.time) for r in results] == [(i, i / RATE) for i in range(3 * RATE)]
    assert {(r.width, r.height, r.error, r.model) for r in results} == {(320, 240, None, results[0].model)}


def test_the_person_keeps_one_number_and_has_raw_and_smoothed_scores(results):
    faces = [face for result in results for face in result.faces]
    assert len(faces) == len(results)
    assert {face.track for face in faces} == {1}
    assert {face.emotion for face in faces} == {"happy"}
    for face in faces:
        assert sum(face.scores.values()) == pytest.approx(1, abs=1e-5)
        assert sum(face.smoothed.values()) == pytest.approx(1, abs=1e-5)
        assert face.detection > 0.7  # found on its own frame, by the last network at least
    raw, smoothed = ([s["happy"] for s in (getattr(f, kind) for f in faces)] for kind in ("scores", "smoothed"))
    assert np.abs(np.diff(smoothed)).sum() < np.abs(np.diff(raw)).sum()
    assert faces[0].smoothed == faces[0].scores


def test_every_face_is_classified_on_its_own_frame(analyzer, film, results):
    for frame in islice(read_frames(film), 0, None, 10):
        (alone,) = analyzer.analyze_frames([frame])[0].faces
        (face,) = results[frame.index].faces
        assert overlap(face.box, alone.box) > 0.75
        assert face.scores["happy"] == pytest.approx(alone.scores["happy"], abs=0.2)


def test_with_a_search_of_every_frame_the_answers_are_those_of_pictures(analyzer, film):
    stream = analyzer.stream(film, detect_every=0, smooth=None, end=0.5)
    for frame, result in zip(read_frames(film), stream, strict=False):
        (alone,) = analyzer.analyze_frames([frame])[0].faces
        (face,) = result.faces
        assert face.smoothed is None
        assert face.box == pytest.approx(alone.box, abs=0.01)
        assert list(face.scores.values()) == pytest.approx(list(alone.scores.values()), abs=1e-5)


def test_a_film_gives_the_same_answers_every_time(analyzer, film, results):
    assert list(analyzer.stream(film)) == results


def test_a_part_has_the_numbers_and_times_of_the_whole(analyzer, film, results):
    part = list(analyzer.stream(film, start=1.0, end=2.0, every=5))
    assert [(r.frame, r.time) for r in part] == [(i, i / RATE) for i in range(25, 50, 5)]
    slow = list(analyzer.stream(film, fps=5))
    assert [r.frame for r in slow] == list(range(0, 3 * RATE, 5))
    assert {face.track for result in (*part, *slow) for face in result.faces} == {1}


def test_films_and_pictures_of_a_folder_are_all_analysed(analyzer, film, astronaut, tmp_path):
    os.link(film, tmp_path / "b.mp4")
    os.symlink(astronaut, tmp_path / "a.jpg")
    (tmp_path / "c.mp4").write_bytes(film.read_bytes()[:5000])
    results = list(analyzer.stream(tmp_path, fps=1))
    assert [(os.path.basename(r.source), r.frame, r.error is None) for r in results] == [
        ("a.jpg", 0, True),
        ("b.mp4", 0, True),
        ("b.mp4", 25, True),
        ("b.mp4", 50, True),
        ("c.mp4", 0, False),
    ]
    assert results[0].faces[0].track is None
    assert "c.mp4: the film has no index" in results[-1].error


def test_frames_that_change_size_midway(analyzer):
    parts = [encode("mpegts", frames=12, size=size) for size in ((96, 64), (64, 96))]
    ((_, first), *_, (_, last)) = analyzer.stream_media([("film", b"".join(parts))])
    assert (first.width, first.height) == (96, 64)
    assert (last.width, last.height, last.faces, last.error) == (64, 96, (), None)


def test_closing_early_frees_everything(analyzer, tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, 1, (320, 240), 2)
    before = threading.active_count()
    stream = analyzer.stream(path)
    assert next(stream).frame == 0
    assert threading.active_count() > before
    stream.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "mien-ahead"] == []
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    assert str(path) not in [os.path.realpath(link) for link in links]


@pytest.mark.slow
def test_streams_that_are_forgotten_in_circles_stop_nothing(film):
    """The garbage collector may find them in any of our threads."""
    code = f"""
import gc
import mien
gc.set_threshold(200, 5, 5)
analyzer = mien.Analyzer()
class Player:
    def __init__(self):
        self.me = self
        self.stream = analyzer.stream({str(film)!r})
for _ in range(12):
    player = Player()
    for _ in range(3):
        next(player.stream)
    del player
print(sum(1 for _ in analyzer.stream({str(film)!r})))
left = analyzer.stream({str(film)!r})
next(left)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "75\n", "")


def test_a_detector_that_fails_does_not_take_what_came_before(film):
    class Failing:
        def __call__(self, frames):
            if frames[0].index == 5:
                raise RuntimeError("no more")
            return [[] for _ in frames]

    stream = mien.Analyzer(detector=Failing()).stream(film)
    assert [result.frame for result in islice(stream, 5)] == list(range(5))
    with pytest.raises(RuntimeError, match="no more"):
        next(stream)


@pytest.mark.slow
def test_only_a_few_frames_are_held_at_a_time(analyzer, film):
    def alive():
        return sum(isinstance(thing, Frame) and thing.source == "held" for thing in gc.get_objects())

    gc.collect()
    most = 0
    for number, _ in enumerate(analyzer.stream_media([("held", film)])):
        if number % 5 == 0:
            most = max(most, alive())
    assert 0 < most < 3 * 16 + 8 + 8


def test_arguments_that_make_no_sense(analyzer, film):
    for wrong in ({"smooth": 0}, {"smooth": float("nan")}, {"detect_every": 0.6}, {"detect_every": -1}, {"fps": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            next(analyzer.stream(film, **wrong))


def test_of_a_live_stream_the_latest_frame_is_analysed_and_the_rest_is_dropped(film):
    data = io.BytesIO()
    write_film(data, 1, (320, 240), 3, form="mpegts")

    class Slow:
        """Half as fast as the stream, as on a machine that is too small."""

        def __call__(self, frames):
            time.sleep(0.1)
            return [[] for _ in frames]

    analyzer = mien.Analyzer(detector=Slow())
    with serving(in_real_time(data.getvalue(), 2.5)) as url:
        began, lags, numbers = time.monotonic(), [], []
        for result in analyzer.stream(url):
            numbers.append(result.frame)
            lags.append(time.monotonic() - began - result.time)
    assert result.error is None
    assert numbers[0] < 30
    assert len(numbers) < 40 < numbers[-1]
    gaps = [b - a for a, b in pairwise(numbers)]
    assert min(gaps) >= 1
    assert max(gaps) > 1
    assert max(lags[5:]) - min(lags[5:]) < 1.0  # it does not fall behind


def test_real_people_in_real_films(analyzer, shared):
    media = shared / "media"
    for name, people in (("two_faces.gif", 2), ("three_people_walking.gif", 3)):
        found = list(analyzer.stream(media / name))
        assert all({face.track for face in result.faces} == set(range(1, people + 1)) for result in found)
    nobody = list(analyzer.stream(media / "no_face.mp4"))
    assert len(nobody) == 95
    assert not any(result.faces or result.error for result in nobody)


def test_a_real_film_to_its_last_frame(analyzer, shared):
    found = list(analyzer.stream(shared / "media" / "one_face_20s.mp4"))
    assert len(found) == 472
    assert found[-1].time == pytest.approx(19.644625, abs=1e-6)
    assert {face.track for result in found for face in result.faces} == {1}
    assert all(result.faces for result in found)
    told = [result.faces[0].emotion for result in found]
    assert told[120:150].count("sad") > 20  # she cries, and laughs at the end
    assert told[-60:].count("happy") == 60
