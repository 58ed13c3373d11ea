"""The optional detector on real faces, with its real weights where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.detectors import Follower, Mtcnn, Yunet, open_detector
from mien.errors import ModelError, UsageError
from mien.models.store import registry
from mien.results import Frame
from mien.sources import read_picture

from conftest import ASTRONAUT_FACE, EXAMPLES, overlap, real_faces

FOUND = (4, 5, 19, 30, 32, 39)
"""Rows of FER2013's public test in which both detectors find the face."""


@pytest.fixture(scope="module")
def weights(shared) -> Path:
    return shared / "models" / "yunet_n_dynamic.onnx"


@pytest.fixture(scope="module")
def yunet(weights) -> Yunet:
    return Yunet(model=weights)


@pytest.fixture
def pulled(weights, tmp_path, monkeypatch, run) -> None:
    """Let the cache have the file, as somebody does who has fetched it by other means."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    assert run("models", "pull", "yunet", "--from", weights).status == 0


@pytest.fixture(scope="module")
def picture(astronaut_pixels) -> Frame:
    return Frame(astronaut_pixels, "astronaut")


def backdrop(width: int, height: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_the_file_that_the_registry_means_is_the_one_tested_with(weights):
    import hashlib

    content, entry = weights.read_bytes(), registry()["yunet"]
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry.sha256, entry.size)


def test_finds_the_one_face_and_its_landmarks_in_the_order_of_mtcnn(yunet, picture):
    ((face,),) = yunet([picture])
    assert overlap(face.box, ASTRONAUT_FACE) > 0.7
    assert 0.9 < face.score <= 1.0
    assert not face.is_crop
    ((other,),) = Mtcnn()([picture])
    for point, same in zip(face.landmarks, other.landmarks, strict=True):
        assert point == pytest.approx(same, abs=5)


def test_the_network_is_shown_blue_green_red(yunet, picture):
    """Red and blue the other way round, it is less sure."""
    swapped = Frame(np.ascontiguousarray(picture.pixels[..., ::-1]), "swapped")
    assert yunet([picture])[0][0].score > yunet([swapped])[0][0].score + 0.005


def test_a_frame_has_the_same_answer_alone_in_a_batch_and_again(yunet, picture):
    other = read_picture(EXAMPLES / "three_people.jpg")
    empty = Frame(np.full((90, 200, 3), 120, np.uint8), "wall")
    together = yunet([picture, empty, other])
    assert [len(faces) for faces in together] == [1, 0, 3]
    assert together == [yunet([frame])[0] for frame in (picture, empty, other)]
    scores = [face.score for face in together[2]]
    assert scores == sorted(scores, reverse=True)
    assert yunet([]) == []


@pytest.mark.parametrize("factor", [0.2, 0.6, 1.7, 5.0])
def test_the_face_is_found_where_it_is_at_any_size_of_the_picture(yunet, astronaut_pixels, factor):
    side = round(512 * factor)
    resized = Image.fromarray(astronaut_pixels).resize((side, side), Image.Resampling.LANCZOS)
    ((face,),) = yunet([Frame(np.asarray(resized), "resized")])
    assert overlap(tuple(edge / factor for edge in face.box), ASTRONAUT_FACE) > 0.7
    for point, place in zip(face.landmarks[:2], ((203, 102), (247, 103)), strict=True):
        assert np.divide(point, factor) == pytest.approx(place, abs=max(8, 2.5 / factor))


def test_tiny_faces_in_a_big_picture(yunet, astronaut_pixels):
    """Faces of 20 pixels in 1280x720, in every corner."""
    zoom = 20 / 102
    tile = Image.fromarray(astronaut_pixels).resize((round(512 * zoom),) * 2, Image.Resampling.LANCZOS)
    canvas = backdrop(1280, 720)
    corners = [(5, 5), (1170, 5), (5, 610), (1170, 610), (613, 301)]
    for corner in corners:
        canvas.paste(tile, corner)
    (faces,) = yunet([Frame(np.asarray(canvas), "tiny")])
    assert len(faces) == len(corners)
    for x, y in corners:
        place = tuple(edge * zoom + shift for edge, shift in zip(ASTRONAUT_FACE, (x, y, x, y), strict=True))
        assert max(overlap(face.box, place) for face in faces) > 0.5


@pytest.mark.parametrize("side", [100, 400, 1200, 2400])
def test_a_face_that_fills_the_picture(yunet, astronaut_pixels, side):
    left, top, right, bottom = (round(edge) for edge in ASTRONAUT_FACE)
    crop = Image.fromarray(astronaut_pixels[top - 4 : bottom + 4, left - 4 : right + 4])
    whole = crop.resize((side, round(side * crop.height / crop.width)), Image.Resampling.BICUBIC)
    ((face,),) = yunet([Frame(np.asarray(whole), "filling")])
    assert overlap(face.box, (0, 0, whole.width, whole.height)) > 0.7


def test_a_face_that_fills_the_picture_and_a_small_one_in_front(yunet, astronaut_pixels):
    left, top, right, bottom = (round(edge) for edge in ASTRONAUT_FACE)
    large = Image.fromarray(astronaut_pixels[top - 20 : bottom + 20, left - 60 : right + 60])
    canvas = large.resize((1600, 1200), Image.Resampling.BICUBIC)
    canvas.paste(Image.fromarray(astronaut_pixels).resize((200, 200), Image.Resampling.LANCZOS), (1380, 20))
    (faces,) = yunet([Frame(np.asarray(canvas), "two")])
    sides = sorted(face.box[2] - face.box[0] for face in faces)
    assert len(sides) == 2 and sides[0] < 60 and sides[1] > 500


def test_a_face_cut_by_the_border_is_found(yunet, astronaut_pixels):
    assert len(yunet([Frame(np.ascontiguousarray(astronaut_pixels[80:, 190:]), "cut")])[0]) == 1


def test_min_face_leaves_small_faces_out_and_lets_tiny_ones_in(weights, picture, astronaut_pixels):
    assert len(Yunet(model=weights, min_face=60)([picture])[0]) == 1
    assert Yunet(model=weights, min_face=300)([picture]) == [[]]
    tile = Image.fromarray(astronaut_pixels).resize((60, 60), Image.Resampling.LANCZOS)  # the face has 12 pixels
    canvas = backdrop(1280, 720)
    canvas.paste(tile, (700, 300))
    frame = Frame(np.asarray(canvas), "tiny")
    assert Yunet(model=weights)([frame]) == [[]]
    assert len(Yunet(model=weights, min_face=10)([frame])[0]) == 1


@pytest.mark.parametrize("size", [(1, 1), (11, 400), (2000, 3)])
def test_tiny_pictures_have_nobody(yunet, size):
    assert yunet([Frame(np.zeros((*size, 3), np.uint8), "tiny")]) == [[]]


def test_real_photo_with_five_people(yunet, shared):
    photo = read_picture(shared / "media" / "five_people.jpg")
    (faces,) = yunet([photo])
    (same,) = Mtcnn()([photo])
    assert len(faces) == 5
    for face, other in zip(*(sorted(ones, key=lambda one: one.box) for ones in (faces, same)), strict=True):
        assert overlap(face.box, other.box) > 0.8


def test_faces_of_fer2013_in_pictures(yunet, shared):
    faces = real_faces(shared, "public_test")
    canvas = backdrop(1280, 720)
    places = []
    for k, row in enumerate(FOUND):
        side = (40, 64, 96, 150, 220, 300)[k]
        x, y = (20 + 420 * (k % 3), 20 + 360 * (k // 3))
        canvas.paste(
            Image.fromarray(faces[row]).resize((side, side), Image.Resampling.BICUBIC).convert("RGB"), (x, y)
        )
        places.append((x, y, x + side, y + side))
    (found,) = yunet([Frame(np.asarray(canvas), "pasted")])
    assert len(found) == len(places)
    assert all(max(overlap(face.box, place) for face in found) > 0.5 for place in places)


def test_nobody_is_found_where_nobody_is(yunet, shared):
    av = pytest.importorskip("av")
    with av.open(str(shared / "media" / "no_face.mp4")) as clip:
        frames = [
            Frame(im.to_ndarray(format="rgb24"), "", i) for i, im in enumerate(clip.decode(video=0)) if i % 12 == 0
        ]
    assert frames
    assert not any(yunet(frames))


def test_a_face_is_followed_near_where_it_was(yunet, shared):
    assert isinstance(yunet, Follower)
    photo = read_picture(shared / "media" / "five_people.jpg")
    (faces,) = yunet([photo])
    moved = [tuple(edge + 12 for edge in face.box) for face in faces]
    wall = (10.0, 560.0, 90.0, 640.0)
    *followed, nobody = yunet.follow(photo, [*moved, wall])
    assert nobody is None
    for face, same in zip(faces, followed, strict=True):
        assert overlap(face.box, same.box) > 0.8
        assert same.landmarks[0] == pytest.approx(face.landmarks[0], abs=6)
    assert yunet.follow(photo, []) == []


@pytest.mark.parametrize(
    "parameters",
    [{"min_face": 5}, {"min_face": float("nan")}, {"threshold": 1.5}, {"working_size": 3}],
)
def test_parameters_outside_their_range_are_refused(weights, parameters):
    with pytest.raises(UsageError):
        Yunet(model=weights, **parameters)


def test_what_is_no_such_network_is_refused(shared):
    with pytest.raises(ModelError, match="it is no YuNet: it lacks the outputs bbox_16"):
        Yunet(model="mtcnn_rnet")
    with pytest.raises(ModelError, match=r"does not take pictures of any size.*mien models pull yunet"):
        Yunet(model=shared / "models" / "yunet_n_640_640.onnx")


def test_the_analysis_with_either_detector_agrees(pulled, run, astronaut):
    assert isinstance(open_detector("yunet"), Yunet)
    found = {}
    for detector in ("mtcnn", "yunet"):
        done = run("analyze", astronaut, EXAMPLES / "three_people.jpg", "--detector", detector)
        assert done.status == 0
        found[detector] = [face for line in done.out.splitlines() for face in json.loads(line)["faces"]]
    assert len(found["yunet"]) == 4
    for face, other in zip(found["yunet"], found["mtcnn"], strict=True):
        assert overlap(face["box"], other["box"]) > 0.6
        assert face["emotion"] == other["emotion"]


def test_a_film_is_read_with_the_same_people(pulled, shared):
    analyzer = mien.Analyzer(detector="yunet")
    results = list(analyzer.stream(shared / "media" / "two_faces.gif", end=1.5))
    assert len(results) > 10
    assert all(len(result.faces) == 2 for result in results)
    assert {face.track for result in results for face in result.faces} == {1, 2}


def test_a_server_finds_faces_by_it(pulled, astronaut_pixels):
    pytest.importorskip("fastapi", reason="needs the extra serve")
    from mien.serve.engine import Engine
    from mien.serve.settings import Settings

    engine = Engine(Settings(detector="yunet"))
    try:
        (answer,) = engine.submit([Frame(astronaut_pixels, "astronaut")])
        (face,) = answer.result(30).faces
    finally:
        engine.stop()
    ((same,),) = Yunet()([Frame(astronaut_pixels, "astronaut")])
    assert face.detection == same.score
