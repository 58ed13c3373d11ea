"""`mien models`, `mien doctor`, `mien bench`: what they say of the installation."""

import json
import os
import subprocess
import sys

import pytest

import mien
from mien.models.metadata import KEY
from mien.models.store import registry

from conftest import COMPLETE, write_model


def test_every_model_is_listed_with_its_licence(run):
    done = run("models", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(done.out)}
    assert {"embedded", "mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet"} <= set(entries)
    assert all(entry["licence"] and entry["bytes"] > 1000 for entry in entries.values())
    done = run("models", "list")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == list(entries)


def test_info_tells_what_the_file_says_of_itself(run, tmp_path):
    done = run("models", "info")
    assert done.status == 0
    assert mien.Analyzer().model in done.out
    assert "FER2013 (Goodfellow et al., 2013)" in done.out
    file = tmp_path / "mine.onnx"
    write_model(file, {KEY: json.dumps(COMPLETE)})
    assert "votes: happy, sad (temperature 1)" in run("models", "info", file).out
    told = json.loads(run("models", "info", file, "--json").out)
    assert told["data"] == ["somebody's pictures"]
    assert len(told["sha256"]) == 64
    assert "first stage" in run("models", "info", "mtcnn_pnet").out
    assert json.loads(run("models", "info", "mtcnn_pnet", "--json").out)["kind"] == "detector"


def test_what_a_strangers_file_says_stays_on_its_line(run, tmp_path):
    file = tmp_path / "mine.onnx"
    write_model(file, {KEY: json.dumps({**COMPLETE, "licence": "MIT\nlicence  none", "data": ["a\x1b]0;b\a"]})})
    done = run("models", "info", file)
    assert "\x1b" not in done.out
    assert sum(line.startswith("licence") for line in done.out.splitlines()) == 1


def test_info_on_what_is_no_model(run, tmp_path):
    assert run("models", "info", tmp_path / "nowhere.onnx").status == 2
    (tmp_path / "bad.onnx").write_bytes(b"rubbish")
    done = run("models", "info", tmp_path / "bad.onnx")
    assert (done.status, len(done.err.splitlines())) == (2, 1)


def test_all_shipped_files_are_what_the_registry_means(run):
    done = run("models", "verify")
    assert (done.status, done.err) == (0, "")
    assert len(done.out.splitlines()) == len(registry())
    assert run("models", "verify", "nothing").status == 2


def test_a_damaged_file_is_named(run, monkeypatch):
    from importlib import resources

    real = resources.files("mien.models") / registry()["mtcnn_pnet"].file

    class Damaged:
        def __truediv__(self, name):
            return self

        def read_bytes(self):
            return real.read_bytes()[:-1] + b"?"

    monkeypatch.setattr("mien.models.store.resources.files", lambda package: Damaged())
    done = run("models", "verify", "mtcnn_pnet")
    assert done.status == 1
    assert "mtcnn_pnet: its file is damaged" in done.err
    done = run("doctor")
    assert done.status == 1
    assert "mtcnn_pnet: its file is damaged" in done.err
    done = run("models", "list")
    (row,) = [line for line in done.out.splitlines() if line.startswith("mtcnn_pnet")]
    assert "damaged" in row and "missing" not in row
    assert "mien: mtcnn_pnet: its file is damaged: sha256 " in done.err and "; install mien again" in done.err
    listed = {entry["name"]: entry for entry in json.loads(run("models", "list", "--json").out)}
    assert (listed["mtcnn_pnet"]["state"], listed["mtcnn_pnet"]["bytes"]) == ("damaged", None)


def test_a_missing_file_is_not_called_damaged(run, monkeypatch, tmp_path):
    from mien.models import store

    store.registry()  # which is kept
    monkeypatch.setattr(store.resources, "files", lambda package: tmp_path)
    done = run("models", "list")
    rows = [line for line in done.out.splitlines() if line.startswith("mtcnn_")]
    assert len(rows) == 3 and all("missing" in row for row in rows)
    assert "mtcnn_pnet: its file is missing from the installation; install mien again" in done.err


def test_doctor_tells_of_a_broken_package_that_it_needs_itself(tmp_path):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise ImportError('no libjpeg')")
    done = subprocess.run(
        [sys.executable, "-m", "mien", "doctor"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "mien: pillow cannot be loaded (no libjpeg): pip install --force-reinstall pillow\n"
    assert "numpy" in done.stdout


def test_doctor_tells_what_is_there_and_how_to_get_the_rest(run):
    done = run("doctor")
    assert done.status == 0
    assert mien.__version__ in done.out
    assert "CPUExecutionProvider" in done.out
    told = json.loads(run("doctor", "--json").out)
    assert told["problems"] == []
    for extra, there in told["extras"].items():
        line = next(line for line in done.out.splitlines() if line.startswith(f"{extra} "))
        assert line.endswith("installed" if there else f"missing: pip install 'mien[{extra}]'")


def test_doctor_knows_every_optional_part(run):
    from importlib.metadata import metadata

    known = set(json.loads(run("doctor", "--json").out)["extras"])
    assert set(metadata("mien").get_all("Provides-Extra")) - {"all", "dev", "docs"} == known


@pytest.mark.slow
def test_bench_measures_what_it_names(run):
    done = run("bench", "--runs", "1", "--json")
    told = json.loads(done.out)
    figures = {(figure["kind"], figure["faces"]): figure["value"] for figure in told["figures"]}
    assert set(figures) == {
        ("detector", 6),
        *(("classifier", batch) for batch in (1, 32, 256)),
        *(("picture", faces) for faces in (1, 6, 30)),
        *(("film", people) for people in (1, 6)),
        ("cold start", None),
        ("memory", None),
    }
    assert min(figures.values()) > 0
    assert 20 < figures["memory", None] < 400  # MiB
    assert told["machine"]["cores"] >= 1


def test_bench_on_a_picture_of_ones_own(run, astronaut, tmp_path):
    done = run("bench", astronaut, "--runs", "1")
    assert done.status == 0
    assert "512x512, 1 face found" in done.out
    assert run("bench", tmp_path / "nowhere.jpg").status == 1
