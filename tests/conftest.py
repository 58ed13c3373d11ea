"""What tests share: where pictures are, one loaded Analyzer, and the command line run in this process."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings
from PIL import Image

import mien
from mien.cli import main
from mien.datasets.fer2013 import VOTES

from webserver import Web, running_web

settings.register_profile("long", max_examples=2000, deadline=None)  # of `make fuzz`

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared"))
EXAMPLES = ROOT / "examples"
ASTRONAUT_FACE = (176.0, 58.0, 265.0, 174.0)
"""Where the one face of examples/astronaut.jpg is, by eye, to some ten pixels."""


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "media").is_dir():
        pytest.skip(f"needs the real media that are not in the repository, in {SHARED} (MIEN_SHARED names another)")
    return SHARED


@pytest.fixture(scope="session")
def astronaut() -> Path:
    return EXAMPLES / "astronaut.jpg"


@pytest.fixture(scope="session")
def astronaut_pixels(astronaut: Path) -> np.ndarray:
    with Image.open(astronaut) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="session")
def analyzer() -> mien.Analyzer:
    return mien.Analyzer()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web of pictures on this machine, which `mien collect` is pointed to, with short pauses between tries."""
    fetching = pytest.importorskip("mien.collect.fetching", reason="needs the extra collect")
    monkeypatch.setattr(fetching, "_BACK_OFF", 0.01)
    with running_web() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@dataclass(frozen=True)
class Finished:
    """What a command left."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run `mien` with arguments, as the console script does."""

    def run_command(*arguments: str | Path) -> Finished:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return run_command


@pytest.fixture
def collect(run: Callable[..., Finished], tmp_path: Path) -> Callable[..., Finished]:
    """Run `mien collect` for `queries`, label → words, into web/, with a phrase for the word alone."""

    def run_collect(
        queries: Mapping[str, Sequence[str]],
        *options: str | Path,
        limit: int = 50,
        out: str = "web",
        fast: Sequence[str] = ("--allow-private", "--delay", "0"),
    ) -> Finished:
        file = tmp_path / "queries.toml"
        entries = (
            f"[[query]]\nlabel = {json.dumps(label)}\nwords = {json.dumps(words)}\n"
            for label, words in queries.items()
        )
        file.write_text(f'phrases = ["{{word}}"]\nlimit = {limit}\n' + "\n".join(entries), "utf-8")
        return run("collect", file, "--out", tmp_path / out, *fast, *options)

    return run_collect


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return intersection over union of two boxes."""
    shared_sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    intersection = max(0.0, shared_sides[0]) * max(0.0, shared_sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return intersection / (sum(areas) - intersection)


COMPLETE = {
    "name": "test",
    "outputs": [{"name": "votes", "labels": ["happy", "sad"], "temperature": 1.0}],
    "size": 48,
    "colour": "grey",
    "mean": 128.0,
    "scale": 64.0,
    "crop": {"scale": 1.1, "across": 0.0, "down": 0.0},
    "data": ["somebody's pictures"],
    "licence": "MIT",
    "scores": [{"accuracy": 50.0}],
    "reproduce": "mien train",
    "mien": "0.1.0",
}
"""The metadata of a classifier, with nothing missing."""


def write_model(path, properties: dict[str, str], *, first: float = 1.0, output: str = "votes") -> None:
    """Write a classifier of one linear layer; with `first`, only the first label has weights, of that size."""
    table = np.ones((48 * 48, 2), np.float32)
    if first != 1.0:
        table *= (first, 0.0)
    weights = onnx.numpy_helper.from_array(table, "weights")
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Flatten", ["faces"], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "weights"], [output]),
        ],
        "test",
        [onnx.helper.make_tensor_value_info("faces", onnx.TensorProto.FLOAT, ["n", 1, 48, 48])],
        [onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


def real_faces(shared: Path, split: str) -> np.ndarray:
    """Return FER2013's pictures of `split`, uint8 (n, 48, 48), from the mosaics of 40 a row."""
    folder = shared / "data" / "fer2013"
    sheets = []
    for path in sorted(folder.glob(f"{split}-*.webp")):
        with Image.open(path) as image:
            sheet = np.asarray(image.convert("L"))
        sheets.append(sheet.reshape(-1, 48, 40, 48).swapaxes(1, 2).reshape(-1, 48, 48))
    return np.concatenate(sheets)[: len(np.load(folder / "labels.npz")[f"{split}_labels"])]


def write_two_shades(folder: Path) -> None:
    """Write a data set of noise in two shades, light called happy and dark called sad: what is learned at once."""
    random = np.random.default_rng(0)
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", *VOTES])
        for split, count in (("train", 32), ("public_test", 16), ("private_test", 16)):
            (folder / split).mkdir()
            for i in range(count):
                name = f"{split}/{i:03d}.png"
                level = random.normal(170 if i % 2 else 90, 20, (48, 48)).clip(0, 255).astype(np.uint8)
                Image.fromarray(level).save(folder / name)
                votes = [0] * 10
                votes[1 if i % 2 else 3] = 10
                writer.writerow([name, split, "happy" if i % 2 else "sad", name, *votes])
