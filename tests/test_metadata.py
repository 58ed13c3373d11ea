"""A model file that does not describe itself is refused, with the list of what is missing."""

import json

import pytest

import mien
from mien.classifier import open_classifier
from mien.errors import ModelError
from mien.models.metadata import KEY, parse_metadata
from mien.models.store import read_model

from conftest import COMPLETE, write_model


def parse(values) -> None:
    return parse_metadata({KEY: json.dumps(values)}, file="m.onnx")


def test_round_trip():
    metadata = parse(COMPLETE)
    assert parse_metadata({KEY: metadata.to_json()}, file="m.onnx") == metadata


def test_every_field_is_needed():
    for key in COMPLETE:
        with pytest.raises(ModelError, match=rf"m\.onnx: its metadata lacks {key}$"):
            parse({name: value for name, value in COMPLETE.items() if name != key})


def test_all_that_is_missing_is_listed_at_once():
    values = {**COMPLETE, "crop": {"scale": 1}, "outputs": [{"name": "votes"}], "licence": "", "scores": []}
    with pytest.raises(ModelError, match=r"licence, scores, crop.across, crop.down, outputs\[0\]"):
        parse(values)


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "bgr"},
        {"scale": 0},
        {"mean": "grey"},
        {"size": -1},
        {"crop": {"scale": "NaN", "across": 0, "down": 0}},
        {"outputs": [{"name": "votes", "labels": ["happy", "gloomy"], "temperature": 1}]},
        {"outputs": [{"name": "votes", "labels": ["happy", "happy"], "temperature": 1}]},
        {"outputs": [{"name": "votes", "labels": ["happy", "sad"], "temperature": -1}]},
        {"outputs": "votes"},
        {"outputs": COMPLETE["outputs"] * 2},
        {"size": 48.7},
        {"data": "somebody's pictures"},
    ],
)
def test_nonsense_is_refused(change):
    with pytest.raises(ModelError, match=r"m\.onnx"):
        parse({**COMPLETE, **change})


def test_metadata_that_is_no_json():
    with pytest.raises(ModelError, match="not JSON"):
        parse_metadata({KEY: "{"}, file="m.onnx")


def test_a_model_of_ones_own_is_used_like_the_shipped_one(tmp_path, astronaut):
    path = tmp_path / "mine.onnx"
    write_model(path, {KEY: json.dumps(COMPLETE)})
    result = mien.analyze(astronaut, model=path)
    assert result.model.startswith("mine@")
    assert [(str(e), round(s, 3)) for e, s in result.faces[0].scores.items()] == [("happy", 0.5), ("sad", 0.5)]


def test_a_model_that_says_nothing_is_refused(tmp_path):
    path = tmp_path / "silent.onnx"
    write_model(path, {})
    with pytest.raises(ModelError, match=r"silent\.onnx: it does not describe itself; .*outputs.*crop.*reproduce"):
        open_classifier(path)


def test_an_output_that_the_network_lacks(tmp_path):
    path = tmp_path / "other.onnx"
    outputs = [{"name": "fer2013", "labels": ["happy", "sad"], "temperature": 1.0}]
    write_model(path, {KEY: json.dumps({**COMPLETE, "outputs": outputs})})
    with pytest.raises(ModelError, match="fer2013"):
        open_classifier(path)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 64},
        {"colour": "rgb"},
        {"outputs": [{"name": "votes", "labels": ["happy", "sad", "angry"], "temperature": 1.0}]},
    ],
)
def test_metadata_that_the_network_contradicts(change, tmp_path):
    write_model(tmp_path / "odd.onnx", {KEY: json.dumps({**COMPLETE, **change})})
    with pytest.raises(ModelError, match="odd@"):
        open_classifier(tmp_path / "odd.onnx")


def test_a_model_written_anew_is_loaded_anew(tmp_path, astronaut):
    path = tmp_path / "mine.onnx"
    write_model(path, {KEY: json.dumps(COMPLETE)})
    before = mien.analyze(astronaut, model=path).model
    write_model(path, {KEY: json.dumps({**COMPLETE, "licence": "other"})})
    assert mien.analyze(astronaut, model=path).model != before


def test_crops_are_cut_by_the_models_own_geometry(tmp_path, astronaut):
    """A model that only averages its input: a wider frame shows it something else."""
    scores = []
    for scale in (1.0, 2.5):
        path = tmp_path / f"{scale}.onnx"
        write_model(
            path, {KEY: json.dumps({**COMPLETE, "crop": {"scale": scale, "across": 0, "down": 0}})}, first=1e-4
        )
        scores.append(mien.analyze(astronaut, model=path).faces[0].scores["happy"])
    assert abs(scores[0] - scores[1]) > 0.001


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x09" * 50])
def test_a_file_that_is_no_network(content, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        open_classifier(tmp_path / "bad.onnx")


def test_a_model_that_is_not_there():
    with pytest.raises(ModelError, match=r"nowhere\.onnx.*embedded"):
        open_classifier("nowhere.onnx")


def test_the_embedded_model_keeps_its_promises():
    metadata = open_classifier("embedded").metadata
    assert [output.name for output in metadata.outputs] == ["votes", "fer2013"]
    assert [len(output.labels) for output in metadata.outputs] == [8, 7]
    assert len(read_model("embedded").content) <= 8_000_000
    assert metadata.extra["run"]["multiply_adds"] <= 130_000_000
    figure = next(
        score["accuracy"]
        for score in metadata.scores
        if (score["labels"], score["split"], score["subset"], score["flip"])
        == ("fer2013", "private_test", "all", False)
    )
    assert figure >= 62.0
