"""CONTRIBUTING.md: each worked example does what is said of it, and is short."""

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from PIL import Image

import mien
from mien.collect.failures import FetchError
from mien.collect.queries import Query
from mien.training.recipe import read_recipe

from conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def example(title: str, language: str = "python") -> str:
    """Return the code of one section."""
    section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) < 60
    return code


def ran(title: str) -> SimpleNamespace:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(example(title), title, "exec"), names)
    return SimpleNamespace(**names)


def test_a_detector(astronaut, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Image.open(astronaut) as image:
        image.convert("RGB").save("photo.jpg", quality=95)
    (found,) = mien.analyze("photo.jpg").faces
    (tmp_path / "boxes.json").write_text(json.dumps({"photo.jpg": [found.box]}))
    (face,) = ran("A detector").result.faces
    assert face.box == pytest.approx(found.box)
    assert face.emotion == found.emotion


def test_a_sink(astronaut, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Image.open(astronaut) as image:
        person = image.convert("RGB").resize((256, 256))
    nobody = Image.new("RGB", person.size, "grey")
    pictures = [person, person, nobody, person]
    pictures[0].save("film.gif", save_all=True, append_images=pictures[1:], duration=1000, optimize=False)
    ran("A sink")
    cues = (tmp_path / "film.srt").read_text().split("\n\n")
    assert cues[0].splitlines() == ["1", "00:00:00,000 --> 00:00:02,000", "happy"]
    assert [cue.splitlines()[2] for cue in cues if cue] == ["happy", "happy"]
    assert not (tmp_path / "film.srt.partial").exists()


def test_a_provider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    rows = "".join(f"{i}.jpg,happy face,CC0 1.0,somebody\n" for i in range(25))
    (tmp_path / "pictures" / "catalogue.csv").write_text(f"file,words,licence,author\n{rows}x.jpg,sad,CC0 1.0,x\n")
    (tmp_path / "pictures" / "7.jpg").write_bytes(b"seven")
    provider = ran("A provider").provider
    query = Query("happy", "happy", ("{word} face",), 100)
    first = asyncio.run(provider.search(query, "happy face", None))
    last = asyncio.run(provider.search(query, "happy face", first.following))
    urls = [found.url for page in (first, last) for found in page.results]
    assert urls == [f"catalogue:{i}.jpg" for i in range(25)]
    assert last.following is None
    assert asyncio.run(provider.fetch("catalogue:7.jpg")) == b"seven"
    with pytest.raises(FetchError):
        asyncio.run(provider.fetch("catalogue:../secret"))


def test_a_recipe(tmp_path):
    (tmp_path / "mine.toml").write_text(example("A recipe", "toml"))
    assert read_recipe(str(tmp_path / "mine.toml")).emotions == "three"


@pytest.mark.slow
def test_a_recipe_trains(run, tmp_path):
    import numpy as np

    transformers = pytest.importorskip("transformers")
    from mien.training.networks.resnet import ResNet

    small = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNet(transformers.ResNetModel(small), size=32, mean=[128.0] * 3, scale=[64.0] * 3).save(tmp_path / "resnet")
    (tmp_path / "mine.toml").write_text(example("A recipe", "toml"))
    random = np.random.default_rng(0)
    for label in ("angry", "happy", "sad"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(20):
            level = random.integers(0, 255, (32, 32), np.uint8)
            Image.fromarray(level).save(tmp_path / "pictures" / label / f"{i}.png")
    assert run("data", "import", tmp_path / "pictures", "--out", tmp_path / "data").status == 0
    changes = (f"weights={tmp_path / 'resnet'}", "size=32", "epochs=1", "batch_size=8", "precision=32-true")
    command = ["train", tmp_path / "mine.toml", "--data", tmp_path / "data", "--run", tmp_path / "run"]
    done = run(*command, *(word for change in changes for word in ("--set", change)))
    assert done.status == 0, done.err
    assert run("export", tmp_path / "run", tmp_path / "mine.onnx").status == 0
