"""scripts/compare_detectors.py: what docs/detectors.md quotes can be measured again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import EXAMPLES, ROOT, real_faces

sys.path.insert(0, str(ROOT / "scripts"))

from typer.testing import CliRunner

import compare_detectors
from mien.datasets.labelled import read_labelled_faces
from mien.results import Detection


@pytest.fixture
def pulled(shared, tmp_path, monkeypatch, run) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    assert run("models", "pull", "yunet", "--from", shared / "models" / "yunet_n_dynamic.onnx").status == 0


@pytest.fixture
def data(shared, tmp_path) -> Path:
    """Return a labelled folder with a few faces of FER2013."""
    faces = real_faces(shared, "public_test")[:8]
    labels = np.load(shared / "data" / "fer2013" / "labels.npz")["public_test_labels"][:8]
    names = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
    votes = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
    lines = [",".join(("file_name", "split", "label", "group", *votes))]
    (tmp_path / "data").mkdir()
    for i, (face, label) in enumerate(zip(faces, labels.tolist(), strict=True)):
        Image.fromarray(face).save(tmp_path / "data" / f"{i}.png")
        lines.append(f"{i}.png,public_test,{names[label]},{i}.png,10,0,0,0,0,0,0,0,0,0")
    (tmp_path / "data" / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def invoke(*arguments: str | Path) -> str:
    done = CliRunner().invoke(compare_detectors.app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


class Fixed:
    """Finds what it is told to find."""

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.boxes = boxes

    def __call__(self, frames):
        return [[Detection(box, 1.0) for box in self.boxes] for _ in frames]


def test_faces_found_missed_and_seen_where_there_are_none_are_told_apart():
    faces = np.full((2, 48, 48), 200, np.uint8)
    scenes = list(compare_detectors.pasted(faces, 48))
    (frame, places) = scenes[0]
    assert places == [(8.0, 8.0, 56.0, 56.0), (80.0, 8.0, 128.0, 56.0)]
    assert (frame.pixels[8:56, 8:56] == 200).all()
    near = (10.0, 10.0, 58.0, 58.0)
    found = compare_detectors.look(Fixed(near, (600.0, 300.0, 700.0, 400.0)), scenes)
    assert found == compare_detectors.Found(1, 2, 1)
    assert str(found) == "50% (+1)"


def test_media_are_counted_at_every_size(pulled):
    rows = [line.split() for line in invoke("media", EXAMPLES / "astronaut.jpg").splitlines()[1:]]
    assert [row[1] for row in rows] == ["512x512", "256x256", "128x128", "64x64"]
    assert rows[0][3:] == ["1", "1"]


def test_crops_by_either_detector_are_compared(pulled, data):
    told = invoke("crops", data)
    assert "faces are found by both" in told
    assert len(read_labelled_faces(data)) == 8
    assert {line.split()[1] for line in told.splitlines() if line.startswith("fer2013")} >= {"mtcnn", "yunet"}


def test_speed_and_found_say_what_they_promise(pulled, data, monkeypatch):
    for name, few in {"SIZES": (24, 96), "TURNS": (15,), "FILLING": (100,), "TIMED": ((640, 360),)}.items():
        monkeypatch.setattr(compare_detectors, name, few)
    rows = invoke("found", data, "--count", "3").splitlines()
    assert [row.split("  ")[0] for row in rows[1:]] == [
        "24 pixels, --min-face 12", "24 pixels", "96 pixels", "200 pixels, turned by 15 degrees", "all of 100x100"
    ]  # fmt: skip
    assert all("%" in row for row in rows[1:])
    one, six, thirty = (line.split() for line in invoke("speed", "--runs", "1").splitlines()[1:])
    assert (one[1], six[-2:], thirty[-2:]) == ("1", ["6", "6"], ["30", "30"])
