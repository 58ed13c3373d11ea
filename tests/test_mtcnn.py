"""The detector on real faces, and its networks against the weights that they were converted from."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mien.detectors import Mtcnn, WholePicture, open_detector
from mien.detectors.mtcnn import _strips
from mien.detectors.pyramid import Pyramid, _cut, _halved
from mien.detectors.suppression import peaks, suppress
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


def test_a_frame_has_the_same_answer_alone_in_a_batch_and_again(mtcnn, picture):
    other = read(EXAMPLES / "three_people.jpg")
    empty = Frame(np.full((90, 200, 3), 120, np.uint8), "wall")
    together = mtcnn([picture, empty, other])
    assert [len(faces) for faces in together] == [1, 0, 3]
    assert together == [mtcnn([frame])[0] for frame in (picture, empty, other)]


def test_the_surest_face_comes_first(mtcnn):
    (faces,) = mtcnn([read(EXAMPLES / "three_people.jpg")])
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


@pytest.mark.parametrize("factor", [0.35, 0.6, 1.7, 4.0])
def test_the_face_is_found_where_it_is_at_any_size_of_the_picture(mtcnn, astronaut_pixels, factor):
    """Also where the pyramid's first level is far smaller than the picture, and where crops are enlarged."""
    side = round(512 * factor)
    resized = Image.fromarray(astronaut_pixels).resize((side, side), Image.Resampling.LANCZOS)
    (faces,) = mtcnn([Frame(np.asarray(resized), "resized")])
    assert len(faces) == 1
    assert overlap(tuple(edge / factor for edge in faces[0].box), ASTRONAUT_FACE) > 0.7
    left_eye, right_eye = faces[0].landmarks[:2]
    assert np.divide(left_eye, factor) == pytest.approx((203, 102), abs=6)
    assert np.divide(right_eye, factor) == pytest.approx((247, 103), abs=6)


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


def test_a_large_photo_with_six_people(mtcnn, astronaut_pixels, shared):
    canvas = np.full((720, 1280, 3), 90, np.uint8)
    canvas[30:697, :1000] = read(shared / "media" / "five_people.jpg").pixels
    canvas[200:490, 1000:] = astronaut_pixels[10:300, 110:390]
    (faces,) = mtcnn([Frame(canvas, "six")])
    assert len(faces) == 6
    pasted = tuple(edge + shift for edge, shift in zip(ASTRONAUT_FACE, (890, 190, 890, 190), strict=True))
    assert max(overlap(face.box, pasted) for face in faces) > 0.7


@pytest.mark.parametrize(
    ("name", "faces"), [("two_faces.gif", 2), ("three_people_walking.gif", 3)], ids=["turning heads", "small faces"]
)
def test_everybody_in_a_clip_is_found_in_nearly_every_frame(mtcnn, shared, name, faces):
    with Image.open(shared / "media" / name) as clip:
        frames = [
            Frame(np.asarray(image.convert("RGB")), name, i)
            for i, image in enumerate(ImageSequence.Iterator(clip))
            if i % 4 == 0
        ]
    counts = [len(found) for found in mtcnn(frames)]
    assert max(counts) == faces
    assert sum(counts) >= 0.97 * faces * len(frames)


def test_nobody_is_found_where_nobody_is(mtcnn, shared):
    av = pytest.importorskip("av")
    with av.open(str(shared / "media" / "no_face.mp4")) as clip:
        frames = [
            Frame(image.to_ndarray(format="rgb24"), "no_face", i)
            for i, image in enumerate(clip.decode(video=0))
            if i % 12 == 0
        ]
    assert frames
    assert not any(mtcnn(frames))


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
    with pytest.raises(UsageError, match="mtcnn, yunet, none"):
        open_detector("haar")


def ramp(height: int, width: int) -> np.ndarray:
    """Return a picture whose red is x and whose green is y, so that a crop tells where it was cut."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 200)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("side", [12, 30, 61, 150, 390])
def test_a_crop_shows_its_square_whichever_level_it_comes_from(side):
    pyramid = Pyramid(Frame(ramp(400, 600), "ramp"), [(150, 100), (90, 60), (54, 36)])
    (crop,) = pyramid.cut(np.array([[130, 7, 130 + side, 7 + side]], np.float32), 24)
    middles = (np.arange(24) + 0.5) * side / 24
    assert crop[12, :, 0] == pytest.approx((130 + middles) * 255 / 600, abs=2.5)
    assert crop[:, 12, 1] == pytest.approx((7 + middles) * 255 / 400, abs=2.5)


def test_crops_keep_the_order_of_their_squares_and_are_black_beyond_the_border():
    pyramid = Pyramid(Frame(ramp(400, 600), "ramp"), [(150, 100), (75, 50)])
    squares = np.array(
        [[-40, 100, 40, 180], [560, 360, 640, 440], [-900, -900, -850, -850], [-300, -400, 900, 800]], np.float32
    )
    left, corner, outside, around = pyramid.cut(squares, 24)
    assert not left[:, :12].any() and (left[:, 12:, 2] == 200).all()
    assert (corner[:12, :12, 2] == 200).all() and not corner[12:].any() and not corner[:, 12:].any()
    assert not outside.any()
    assert around[12, 12, 2] == 200 and not around[:8].any() and not around[:, :6].any()


def test_large_crops_average_instead_of_skipping_pixels():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[::2] = 255
    (crop,) = Pyramid(Frame(stripes, "stripes"), [(80, 80), (40, 40)]).cut(
        np.array([[10, 10, 790, 790]], np.float32), 24
    )
    assert crop.min() > 110 and crop.max() < 145


def test_large_pictures_are_halved_and_cut_as_a_whole_copy_would_be():
    pixels = np.random.default_rng(3).integers(0, 256, (301, 457, 3), dtype=np.uint8)
    copy = Image.fromarray(pixels)
    assert np.array_equal(_halved(pixels), copy.reduce(2))
    squares = [(10.3, 20.6, 19.1, 29.4), (-3.5, 290.2, 14.5, 308.2), (440.1, -60, 560.1, 60), (0, 0, 301, 301)]
    crops = Pyramid(Frame(pixels, "noise")).cut(np.array(squares, np.float32), 24)
    for crop, square in zip(crops, np.array(squares, np.float32).tolist(), strict=True):
        assert np.array_equal(crop, _cut(copy, square, 24))


def test_no_squares_no_crops():
    assert Pyramid(Frame(ramp(40, 60), "ramp")).cut(np.empty((0, 4), np.float32), 24).shape == (0, 24, 24, 3)


def share(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the intersection of two boxes as a share of the smaller one."""
    sides = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    return sides[0] * sides[1] / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


@pytest.mark.parametrize("of_smaller", [False, True])
@pytest.mark.parametrize("limit", [0.2, 0.5, 0.7])
def test_suppression_keeps_what_going_through_the_boxes_one_by_one_keeps(limit, of_smaller):
    random = np.random.default_rng(0)
    corners = random.uniform(0, 200, (300, 2))
    boxes = np.concatenate([corners, corners + random.uniform(10, 60, (300, 1))], axis=1).astype(np.float32)
    scores = random.uniform(size=300).round(2).astype(np.float32)  # some of them equal
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        measure = share if of_smaller else overlap
        if all(measure(boxes[i].tolist(), boxes[j].tolist()) <= limit for j in kept):
            kept.append(i)
    assert 10 < len(kept) < 300
    assert suppress(boxes, scores, limit, of_smaller=of_smaller).tolist() == kept


def test_suppression_of_no_boxes():
    assert suppress(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.5).tolist() == []


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.97])
def test_peaks_are_what_suppression_keeps_of_overlapping_windows(threshold):
    """Of windows of 12 pixels at a stride of 2, only neighbours overlap by more than half."""
    random = np.random.default_rng(1)
    shapes = [(40, 61), (1, 1), (7, 30), (3, 1)]
    grids = [random.uniform(size=shape).round(2).astype(np.float32) for shape in shapes]  # some of them equal
    grids[0][5:20, 5:40] = random.uniform(0.9, 1.0, (15, 35))
    for grid, (rows, columns) in zip(grids, peaks(grids, threshold), strict=True):
        y, x = np.nonzero(grid >= threshold)
        boxes = np.stack([x, y, x + 6, y + 6], axis=1).astype(np.float32) * 2
        kept = suppress(boxes, grid[y, x], 0.5)
        assert sorted(zip(rows, columns, strict=True)) == sorted(zip(y[kept], x[kept], strict=True))


@pytest.mark.parametrize("size", [(12, 12), (13, 700), (301, 640), (360, 640), (721, 480)])
def test_levels_in_strips_have_the_answers_of_the_whole(mtcnn, size):
    """So that neither the shape of a picture nor the number of threads decides what is found."""
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    probability, offsets = mtcnn._pnet.each([pixels[None]])[0]
    parts = mtcnn._pnet.each(_strips(pixels))
    np.testing.assert_allclose(np.concatenate([part[0][0] for part in parts]), probability[0], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([part[1][0] for part in parts], axis=1), offsets[0], atol=1e-6)


def test_the_number_of_threads_changes_no_answer(mtcnn):
    photo = read(EXAMPLES / "three_people.jpg")
    (alone,), (together,) = Mtcnn(threads=1)([photo]), mtcnn([photo])
    assert len(alone) == len(together) == 3
    for one, other in zip(alone, together, strict=True):
        assert one.box == pytest.approx(other.box, abs=0.01)
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9, 23, 64, 341])
def test_candidates_are_shared_out_so_that_all_threads_end_together(mtcnn, count):
    parts = mtcnn._onet.parts(count, 8)
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert all(1 <= size <= 8 for size in sizes) and max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len(parts) < 2 or len(parts) % mtcnn._onet._shares == 0 or max(sizes) == 1
