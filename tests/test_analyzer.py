import io
import threading

import numpy as np
import pytest
from PIL import Image

import mien
from mien.emotions import SETS
from mien.errors import ModelError, SourceError, UsageError
from mien.results import Detection, Frame

from conftest import ASTRONAUT_FACE, EXAMPLES, overlap


def assert_same_answer(one: mien.Result, other: mien.Result) -> None:
    assert len(one.faces) == len(other.faces)
    for a, b in zip(one.faces, other.faces, strict=True):
        assert a.box == pytest.approx(b.box, abs=0.01)
        assert list(a.scores) == list(b.scores)
        assert list(a.scores.values()) == pytest.approx(list(b.scores.values()), abs=1e-5)


def test_the_happy_face_of_a_real_photograph(astronaut):
    result = mien.analyze(astronaut)
    (face,) = result.faces
    assert overlap(face.box, ASTRONAUT_FACE) > 0.7
    assert face.emotion == "happy"
    assert list(face.scores) == list(SETS["eight"])
    assert sum(face.scores.values()) == pytest.approx(1)
    assert (result.source, result.width, result.height, result.time) == (str(astronaut), 512, 512, None)
    assert result.model.startswith("embedded@") and len(result.model) == len("embedded@") + 12


def test_path_bytes_image_and_array_give_the_same_answer(astronaut, astronaut_pixels):
    wanted = mien.analyze(str(astronaut))
    with Image.open(io.BytesIO(astronaut.read_bytes())) as image:
        for source in (
            astronaut,
            astronaut.read_bytes(),
            image,
            astronaut_pixels,
            np.asfortranarray(astronaut_pixels),
        ):
            assert_same_answer(mien.analyze(source), wanted)


def test_a_batch_answers_as_each_alone(analyzer, astronaut_pixels):
    with Image.open(EXAMPLES / "three_people.jpg") as image:
        frames = [
            Frame(astronaut_pixels, "a"),
            Frame(np.zeros((50, 60, 3), np.uint8), "b"),
            Frame(np.asarray(image), "c"),
        ]
    together = analyzer.analyze_frames(frames)
    assert [len(result.faces) for result in together] == [1, 0, 3]
    for frame, result in zip(frames, together, strict=True):
        assert result.source == frame.source
        assert_same_answer(analyzer.analyze(frame), result)
    assert analyzer.analyze_frames([]) == []


def test_faces_come_from_left_to_right(analyzer):
    edges = [face.box[0] for face in analyzer.analyze(EXAMPLES / "three_people.jpg").faces]
    assert edges == sorted(edges) and len(edges) == 3


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_set_is_the_distribution_renormalised(name, analyzer, astronaut):
    (whole,) = analyzer.analyze(astronaut).faces
    (face,) = mien.analyze(astronaut, emotions=name).faces
    total = sum(whole.scores[emotion] for emotion in SETS[name])
    assert {e: pytest.approx(whole.scores[e] / total, abs=1e-5) for e in SETS[name]} == face.scores


def test_raters_are_different_labellings(astronaut):
    (face,) = mien.analyze(astronaut, rater="fer2013").faces
    assert list(face.scores) == list(SETS["seven"])
    with pytest.raises(ModelError, match="votes, fer2013"):
        mien.analyze(astronaut, rater="me")
    with pytest.raises(UsageError, match="contemptuous"):
        mien.analyze(astronaut, rater="fer2013", emotions="eight")


def test_without_a_detector_the_picture_is_the_face(astronaut_pixels):
    face_only = astronaut_pixels[55:180, 165:280]
    (face,) = mien.analyze(np.ascontiguousarray(face_only), detector="none").faces
    assert face.box == (0, 0, 115, 125)
    assert face.detection is None and face.landmarks is None
    assert face.emotion == "happy"


def test_nobody_is_an_empty_tuple(analyzer):
    assert analyzer.analyze(np.full((300, 400, 3), 128, np.uint8)).faces == ()
    assert analyzer.analyze(np.zeros((1, 1, 3), np.uint8)).faces == ()


def test_boxes_stay_within_the_picture(analyzer, astronaut_pixels):
    cut = np.ascontiguousarray(astronaut_pixels[80:, 190:])
    (face,) = analyzer.analyze(cut).faces
    assert face.box[0] >= 0 and face.box[1] >= 0 and face.box[2] <= cut.shape[1] and face.box[3] <= cut.shape[0]


class FarAway:
    """A detector that is wrong."""

    def __call__(self, frames):
        return [[Detection((600.0, -50.0, 700.0, 20.0), 0.9)] for _ in frames]


def test_boxes_from_any_detector_stay_within_the_picture(astronaut):
    (face,) = mien.Analyzer(detector=FarAway()).analyze(astronaut).faces
    assert face.box == (512, 0, 512, 20)


def test_stream_goes_on_after_a_bad_file(analyzer, astronaut, tmp_path):
    (tmp_path / "b.jpg").write_bytes(astronaut.read_bytes())
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    results = list(analyzer.stream(tmp_path))
    assert [(len(r.faces), r.error is None) for r in results] == [(0, False), (1, True)]
    assert "a.jpg: not a picture" in results[0].error
    assert results[0].width is None
    with pytest.raises(SourceError, match="no such file"):
        list(analyzer.stream(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="no such file"):
        list(analyzer.stream("x" * 300))


def test_bad_input_is_an_error_of_one_line(analyzer, tmp_path):
    with pytest.raises(mien.SourceError) as caught:
        analyzer.analyze(tmp_path / "nowhere.jpg")
    assert "\n" not in str(caught.value)


def test_several_threads_get_the_answers_of_one(analyzer, astronaut):
    wanted = analyzer.analyze(astronaut)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(analyzer.analyze(astronaut))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        assert_same_answer(answer, wanted)


def test_real_photo_with_five_people(analyzer, shared):
    result = analyzer.analyze(shared / "media" / "five_people.jpg")
    assert len(result.faces) == 5
    assert sum(face.emotion == "happy" for face in result.faces) >= 4
