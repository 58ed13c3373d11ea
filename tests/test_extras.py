"""Without an extra, what needs it names the line to type, and all else works: on the command line and in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from PIL import Image

import mien

from conftest import EXAMPLES, ROOT

MODULES = {
    "parquet": ("pyarrow",),
    "plot": ("matplotlib",),
    "heic": ("pillow_heif",),
    "train": (
        "huggingface_hub", "kornia", "lightning", "matplotlib", "onnx", "onnxscript", "safetensors", "torch",
        "torchmetrics", "transformers",
    ),
    "collect": ("anyio", "ddgs", "httpcore", "httpx"),
    "serve": ("fastapi", "gradio", "prometheus_client", "python_multipart", "uvicorn", "websockets"),
    "ray": ("ray",),
    "docs": ("mkdocstrings", "zensical"),
}  # fmt: skip
"""The modules that each extra brings and mien imports; of the rest of `serve` and `train`, see the tests below."""
OPTIONAL = {"train": {"tensorboard"}, "serve": {"matplotlib"}}
"""What is done without where it is missing: logs for TensorBoard, the chart of a film on the page."""

VERBS = [
    ("parquet", "analyze photo.jpg --out new.parquet"),
    ("plot", "plot talk.jsonl"),
    ("plot", "evaluate embedded --data data --split test --report report"),
    ("heic", "analyze photo.heic"),
    ("train", "train embedded --data data"),
    ("train", "train fer-five --data data"),
    ("train", "export runs/mine mine2.onnx"),
    ("train", "models compress embedded small.onnx --data data --int8"),
    ("collect", "collect five --out web --contact you@example.org"),
    ("collect", "collect five --out web --contact you@example.org --provider ddgs --allow-unknown-licence"),
    ("serve", "serve --port 0"),
    ("serve", "serve --port 0 --no-page"),
    ("ray", "analyze photo.jpg --engine ray --out spread.parquet"),
    (None, "analyze photo.jpg --out faces.jsonl --out marked.png"),
    (None, "analyze talk.gif --out faces.csv --summary"),
    (None, "evaluate embedded --data data --split test"),
    (None, "compare embedded mine.onnx --data data --split test --emotions three"),
    (None, "collect words.toml --provider local --from photos --out gathered"),
    (None, "clean gathered --out cleaned"),
    (None, "data stats data"),
    (None, "models card"),
    (None, "train embedded --show"),
    (None, "doctor"),
]  # fmt: skip
"""Commands, with the extra that each needs."""

CALLS = [
    ("parquet", "list(mien.read_results('faces.parquet'))"),
    ("plot", "mien.draw_timeline(mien.read_results('talk.jsonl'), 'chart.png')"),
    ("heic", "mien.analyze('photo.heic')"),
    (None, "mien.analyze('photo.jpg').faces[0].emotion"),
    (None, "[result.time for result in mien.Analyzer().stream('talk.gif')]"),
    (None, "mien.annotate(np.asarray(Image.open('photo.jpg')), mien.analyze('photo.jpg'))"),
]
"""Expressions in Python, likewise."""

WITHOUT = """
import contextlib, io, json, os, sys

blocked, verbs, calls = set(json.loads(sys.argv[1])), json.loads(sys.argv[2]), json.loads(sys.argv[3])

class But:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, *more):
        return None if name.partition(".")[0] in blocked else self.finder.find_spec(name, *more)

sys.meta_path = [But(finder) for finder in sys.meta_path]
sys.path_importer_cache.clear()

import mien
import numpy as np
from PIL import Image
from mien.cli import main

told = []
for line in verbs:
    sys.argv = ["mien", *line.split()]
    status, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        except BaseException as error:
            err.write(repr(error))
            status = 99
    told.append((status, err.getvalue()))
for call in calls:
    try:
        eval(call)
        told.append((0, ""))
    except mien.MienError as error:
        told.append((1, str(error)))
    except BaseException as error:
        told.append((99, repr(error)))
json.dump(told, sys.__stdout__)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    shutil.copy(EXAMPLES / "astronaut.jpg", here / "photo.jpg")
    (here / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    (here / "faces.parquet").write_bytes(b"PAR1" + bytes(64) + b"PAR1")
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        face = image.convert("RGB").resize((96, 96))
    face.save(here / "talk.gif", save_all=True, append_images=[face.rotate(3)], duration=400)
    face = mien.Face((0, 0, 9, 9), 1.0, {mien.Emotion.HAPPY: 1.0}, track=1)
    seen = [mien.Result("talk.gif", i, i / 2, 96, 96, "m", (face,)).to_record() for i in range(3)]
    (here / "talk.jsonl").write_text("".join(json.dumps(record) + "\n" for record in seen))
    (here / "data" / "test").mkdir(parents=True)
    rows = []
    for i, label in enumerate(["happy", "sad", "angry"] * 2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (48, 48), np.uint8)).save(
            here / f"data/test/{i}.png"
        )
        rows.append(f"test/{i}.png,test,{label},test/{i}.png,test/{i}.png\n")
    (here / "data" / "metadata.csv").write_text("file_name,split,label,group,similar\n" + "".join(rows))
    (here / "photos" / "happy").mkdir(parents=True)
    shutil.copy(EXAMPLES / "astronaut.jpg", here / "photos" / "happy")
    (here / "words.toml").write_text('[[query]]\nlabel = "happy"\nwords = ["happy"]\n')
    shutil.copy(ROOT / "src" / "mien" / "models" / "embedded.onnx", here / "mine.onnx")
    return here


def without(modules, folder, verbs, calls=()):
    """Return (status, what was said) of commands and calls where the modules are not installed."""
    words = [json.dumps(list(words)) for words in (modules, verbs, calls)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def line_for(extra: str) -> str:
    return f" needs an optional part: pip install 'mien[{extra}]'"


EVERYTHING = {module for several in MODULES.values() for module in several} | {"pandas", "tensorboard"}
"""All that extras bring is hidden at once: what is left is what `pip install mien` brings."""


def test_what_needs_an_extra_names_it(folder):
    verbs, calls = ([(extra, what) for extra, what in table if extra] for table in (VERBS, CALLS))
    told = without(EVERYTHING, folder, [line for _, line in verbs], [call for _, call in calls])
    for (extra, what), (status, said) in zip([*verbs, *calls], told, strict=True):
        assert status == 1, f"{what}: {said}"
        assert said.rstrip("\n").endswith(line_for(extra)), f"{what}: {said}"
        assert len(said.splitlines()) == 1, said


@pytest.mark.slow
def test_all_else_works(folder):
    verbs, calls = ([what for extra, what in table if extra is None] for table in (VERBS, CALLS))
    told = without(EVERYTHING, folder, verbs, calls)
    for what, (status, said) in zip([*verbs, *calls], told, strict=True):
        assert status == 0, f"{what}: {said}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "module"),
    [(extra, module) for extra in ("train", "collect", "serve") for module in MODULES[extra]],
)
def test_without_a_single_module_of_an_extra(folder, extra, module):
    """As where somebody installed most of it by hand."""
    line = next(line for name, line in VERBS if name == extra and ("ddgs" in line) is (module == "ddgs"))
    ((status, said),) = without([module], folder, [line])
    assert status == 1
    assert said.rstrip("\n").endswith(line_for(extra))


@pytest.mark.slow
def test_a_chart_of_parquet_needs_both(folder):
    ((status, said),) = without(["pyarrow"], folder, ["plot faces.parquet"])
    assert (status, said) == (1, f"mien: reading Parquet{line_for('parquet')}\n")


@pytest.mark.slow
def test_the_site_says_what_it_needs(tmp_path):
    hidden = f"import sys; sys.modules['zensical'] = None; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
    made = (
        "import runpy; sys.argv = ['make_docs.py', 'site']\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'make_docs.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden + made], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "the site needs an optional part: pip install 'mien[docs]'\n"
    assert list(tmp_path.iterdir()) == []


def test_every_extra_is_in_the_table():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(MODULES) == set(extras) - {"dev", "all"}
    tested = {extra for extra, _ in [*VERBS, *CALLS] if extra}
    assert tested | {"docs"} == set(MODULES)
