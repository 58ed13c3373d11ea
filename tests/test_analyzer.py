import io
import os
import subprocess
import sys
import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from PIL import Image

import mien
from mien.emotions import SETS
from mien.errors import ModelError, SourceError, UsageError
from mien.models.store import read_model
from mien.results import Detection, Frame
from mien.sources import read_frames

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
    assert "a.jpg: neither a picture nor a film" in results[0].error
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


@pytest.fixture
def film(astronaut_pixels) -> bytes:
    """Return a GIF of a face, of nobody for a second, and of the face again."""
    face = Image.fromarray(astronaut_pixels[:256, 96:352])
    nobody = Image.new("RGB", face.size, (90, 120, 90))
    stream = io.BytesIO()
    face.save(stream, "GIF", save_all=True, append_images=[nobody, face], duration=[80, 1000, 80])
    return stream.getvalue()


def test_a_film_gives_a_result_for_each_frame(analyzer, film, tmp_path):
    path = tmp_path / "film.gif"
    path.write_bytes(film)
    results = list(analyzer.stream(path))
    assert [(r.source, r.frame, r.time, len(r.faces)) for r in results] == [
        (str(path), 0, 0.0, 1),
        (str(path), 1, 0.08, 0),
        (str(path), 2, 1.08, 1),
    ]
    record = results[2].to_record()
    assert (record["frame"], record["time"], record["width"], record["error"]) == (2, 1.08, 256, None)
    assert_same_answer(analyzer.analyze(path), results[0])
    for (frame, result), wanted in zip(analyzer.stream_media([("f", film)]), results, strict=True):
        assert (frame.index, frame.time) == (result.frame, result.time) == (wanted.frame, wanted.time)
        assert_same_answer(result, wanted)


def test_a_film_that_breaks_off_keeps_its_results(analyzer, film, astronaut):
    sources = [("broken.gif", film[: int(len(film) * 0.9)]), ("whole.jpg", astronaut)]
    (first, one), (_, two), (none, broken), (_, last) = analyzer.stream_media(sources)
    assert (first.index, len(one.faces), len(two.faces)) == (0, 1, 0)
    assert none is None
    assert (broken.source, broken.frame, broken.time, broken.faces) == ("broken.gif", 2, None, ())
    assert broken.error.startswith("broken.gif, frame 2: the picture is cut short or damaged")
    assert (last.source, last.frame, last.error, len(last.faces)) == ("whole.jpg", 0, None, 1)


def test_a_stream_reads_no_further_than_it_is_asked(analyzer, film, tmp_path):
    for name in ("a.gif", "b.gif"):
        (tmp_path / name).write_bytes(film)
    stream = analyzer.stream(tmp_path)
    assert next(stream).frame == 0
    (tmp_path / "b.gif").unlink()
    rest = list(stream)
    assert [(r.frame, r.error is None) for r in rest] == [(1, True), (2, True), (0, False)]
    assert rest[-1].error.endswith("b.gif: there is no such file or folder")


@pytest.mark.parametrize(("name", "people"), [("two_faces.gif", 2), ("three_people_walking.gif", 3)])
def test_real_films(analyzer, shared, name, people):
    results = list(islice(analyzer.stream(shared / "media" / name), 3))
    assert [(r.frame, r.time) for r in results] == [(0, 0.0), (1, 0.08), (2, 0.17)]
    assert [len(r.faces) for r in results] == [people] * 3


def test_heic_without_its_extra_is_the_error_of_one_picture(analyzer, astronaut, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # another test may have met one
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "b.jpg").write_bytes(astronaut.read_bytes())
    one, two = analyzer.stream(tmp_path)
    assert one.error.endswith("a.heic: reading HEIC pictures needs an optional part: pip install 'mien[heic]'")
    assert len(two.faces) == 1


def test_an_error_stays_on_one_line_and_the_source_keeps_its_name(analyzer, tmp_path):
    path = tmp_path / "two\nlines.jpg"
    path.write_bytes(b"no picture")
    (result,) = analyzer.stream(tmp_path)
    assert result.source == str(path)
    assert "two\\nlines.jpg: neither a picture nor a film" in result.error
    assert "\n" not in result.error
    with pytest.raises(SourceError, match=r"a\\nb: there is no such"):
        next(analyzer.stream("a\nb"))


def test_a_forked_process_analyses_too(astronaut, analyzer):
    """Threads do not survive a fork; whoever waits for them waits for ever."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that forks")
    expected = [face.to_record() for face in analyzer.analyze(astronaut).faces]
    program = (
        "import mien, os, signal, sys\n"
        "analyzer = mien.Analyzer()\n"
        "analyzer.analyze(sys.argv[1])\n"
        "if child := os.fork():\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "signal.alarm(20)\n"
        "print([face.to_record() for face in analyzer.analyze(sys.argv[1]).faces], flush=True)\n"
        "os._exit(0)\n"  # as multiprocessing ends its processes
    )
    done = subprocess.run([sys.executable, "-c", program, astronaut], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(expected)


def test_other_users_of_onnxruntime_in_the_process_are_left_alone(analyzer, astronaut):
    import onnxruntime

    analyzer.analyze(astronaut)
    content = read_model("embedded").content
    assert onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).get_outputs()


@pytest.mark.parametrize("name", [None, *SETS])
def test_another_set_of_the_same_models(analyzer, astronaut, name):
    other = analyzer.restricted(name)
    assert_same_answer(other.analyze(astronaut), mien.analyze(astronaut, emotions=name))
    assert_same_answer(other.restricted(None).analyze(astronaut), analyzer.analyze(astronaut))
    assert other.model == analyzer.model and len(analyzer.emotions) == 8
    with pytest.raises(UsageError, match="nine"):
        analyzer.restricted("nine")


def test_frames_that_are_brought_one_by_one_are_read_as_those_of_a_stream(analyzer, shared):
    film = shared / "media" / "two_faces.gif"
    wanted = [result.to_record() for result in islice(analyzer.stream(film), 20)]
    read = analyzer.reader()
    with closing(read_frames(film)) as frames:
        answers = [read(frame).to_record() for frame in islice(frames, 20)]
    assert any(face["smoothed"] for answer in answers for face in answer["faces"])
    for answer, other in zip(answers, wanted, strict=True):
        assert len(answer["faces"]) == len(other["faces"])
        for face, same in zip(answer["faces"], other["faces"], strict=True):
            assert (face["track"], face["box"]) == (same["track"], pytest.approx(same["box"], abs=0.01))
            assert face["smoothed"] == pytest.approx(same["smoothed"], abs=1e-5)
    with pytest.raises(UsageError, match="half-life"):
        analyzer.reader(smooth=0.0)
