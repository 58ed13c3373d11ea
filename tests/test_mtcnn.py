"""The detector on real faces, and its networks against the weights that they were converted from."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.detectors import Mtcnn, WholePicture, open_detector
from mien.errors import UsageError
from mien.models.store import read_model
from mien.results import Frame

from conftest import ASTRONAUT_FACE, EXAMPLES, ROOT, overlap

WHEEL = "facenet_pytorch-2.6.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    return Mtcnn()


@pytest.fixture(scope="module")
def picture(astronaut_pixels) -> Frame:
    return Frame(astronaut_pixels, "astronaut")


def read(path: Path) -> Frame:
    with Image.open(path) as image:
        return Frame(np.asarray(image.convert("RGB")), path.name)


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_network_answers_as_its_weights_do_in_torch(name, monkeypatch):
    pytest.importorskip("torch", reason="compares with torch, which is not installed")
    wheel = next((path for path in (Path(sys.prefix) / "wheels").glob(WHEEL)), None)
    if wheel is None:
        pytest.skip(f"needs {WHEEL} in {sys.prefix}/wheels; `make test` puts it there")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import convert_mtcnn

    network = convert_mtcnn.read_network(wheel, name)
    model = read_model(f"mtcnn_{name}").content
    assert convert_mtcnn.difference_from_torch(model, network, convert_mtcnn.INPUT_SIDES[name]) <= 1e-4


def test_finds_the_one_face_and_its_landmarks(mtcnn, picture):
    (faces,) = mtcnn([picture])
    (face,) = faces
    assert overlap(face.box, ASTRONAUT_FACE) > 0.7
    assert face.score > 0.95
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye == pytest.approx((203, 102), abs=4)
    assert right_eye == pytest.approx((247, 103), abs=4)
    assert nose == pytest.approx((225, 128), abs=5)
    assert left_mouth == pytest.approx((202, 142), abs=5)
    assert right_mouth == pytest.approx((246, 142), abs=5)


def test_a_batch_of_different_sizes_answers_as_each_alone(mtcnn, picture):
    other = read(EXAMPLES / "three_people.jpg")
    empty = Frame(np.full((90, 200, 3), 120, np.uint8), "wall")
    together = mtcnn([picture, empty, other])
    assert [len(faces) for faces in together] == [1, 0, 3]
    for frame, faces in zip([picture, empty, other], together, strict=True):
        (alone,) = mtcnn([frame])
        assert len(alone) == len(faces)
        for one, two in zip(alone, faces, strict=True):
            assert one.box == pytest.approx(two.box, abs=0.01)


def test_min_face_leaves_small_faces_out(picture):
    assert len(Mtcnn(min_face=60)([picture])[0]) == 1
    assert Mtcnn(min_face=300)([picture]) == [[]]


def test_threshold_of_the_last_stage_leaves_doubtful_faces_out(picture):
    assert Mtcnn(thresholds=(0.6, 0.7, 0.9999))([picture]) == [[]]


def test_working_size_bounds_what_is_looked_at(picture):
    assert len(Mtcnn(working_size=200)([picture])[0]) == 1  # the face is still 35 pixels in the working picture
    assert Mtcnn(working_size=20)([picture]) == [[]]


@pytest.mark.parametrize("size", [(1, 1), (11, 400), (12, 12), (500, 3)])
def test_tiny_pictures_have_nobody(mtcnn, size):
    assert mtcnn([Frame(np.zeros((*size, 3), np.uint8), "tiny")]) == [[]]


def test_a_face_cut_by_the_border_is_found(mtcnn, astronaut_pixels):
    (faces,) = mtcnn([Frame(np.ascontiguousarray(astronaut_pixels[80:, 190:]), "cut")])
    assert len(faces) == 1


def test_no_frames_no_answer(mtcnn):
    assert mtcnn([]) == []


def test_real_photo_with_five_people(mtcnn, shared):
    (faces,) = mtcnn([read(shared / "media" / "five_people.jpg")])
    assert len(faces) == 5


@pytest.mark.parametrize(
    "parameters",
    [
        {"min_face": 5},
        {"min_face": float("nan")},
        {"thresholds": (0.5, 0.5)},
        {"thresholds": (0.5, 0.5, 1.5)},
        {"scale_factor": 1.0},
        {"working_size": 3},
    ],
)
def test_parameters_outside_their_range_are_refused(parameters):
    with pytest.raises(UsageError):
        Mtcnn(**parameters)


def test_detectors_by_name():
    assert isinstance(open_detector("none"), WholePicture)
    with pytest.raises(UsageError, match="mtcnn, none"):
        open_detector("haar")
