"""The benchmark runs, its JSON has what it promises, and its floor is counted rightly."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the benchmark counts multiply-adds with onnx: pip install 'mien[train]'")

from benchmarks import peers
from benchmarks.arithmetic import multiply_adds
from benchmarks.plan import QUICK
from benchmarks.report import last_run, read_run
from mien.classifier import open_classifier
from mien.detectors import Mtcnn
from mien.results import Frame

from conftest import ROOT

KINDS = {"decode", "detector", "alignment", "classifier fp32", "picture", "film", "start", "folder", "size"}


def run_benchmark(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_quick_run_measures_everything_and_is_compared_with_the_one_before(tmp_path):
    out = tmp_path / "run.json"
    table = run_benchmark("--out", str(out))
    written = json.loads(out.read_text())
    assert written["schema"] == 1
    assert set(written) >= {"when", "commit", "changed", "machine", "multiply_adds_per_second", "rows"}
    assert {"processor", "cores", "onnxruntime"} <= set(written["machine"])
    assert {row["kind"] for row in written["rows"]} >= KINDS
    for row in written["rows"]:
        assert row["least"] <= row["value"] <= row["most"]
        assert row["kind"] in table and row["what"] in table
        if row["kind"] in ("detector", "classifier fp32", "picture", "film"):
            assert row["floor"] >= row["arithmetic"] > 0
            assert row["cpu"] > 0 and row["rate"] == pytest.approx(1000 / row["value"], rel=0.01)
        if row["kind"] in ("detector", "picture") and "1 faces" in row["what"]:
            assert row["faces"] == 1
    again = run_benchmark("--only", "size", "--against", str(out))
    assert "(+0%)" in again


def test_multiply_adds_are_those_of_the_batches_that_the_networks_are_given():
    classifier = open_classifier()
    crops = np.zeros((7, classifier.metadata.size, classifier.metadata.size), np.uint8)
    one, seven = (multiply_adds(lambda n=n: classifier(crops[:n])) for n in (1, 7))
    assert seven == 7 * one > 1e6
    # a picture as large as P-Net's window: one level, one answer, and nothing for the other networks to do
    expected = 16 * 10 * 10 * 27 + 2 * 16 * 5 * 5 * 16 + 16 * 3 * 3 * 144 + 32 * 144 + 5 * 32
    tiny = Frame(np.zeros((12, 12, 3), np.uint8), "tiny")
    assert multiply_adds(lambda: Mtcnn(min_face=12)([tiny])) == expected


def test_a_peer_is_asked_for_every_picture_by_its_own_program(tmp_path, monkeypatch):
    adapter = tmp_path / "tool.py"
    adapter.write_text(
        "import json, sys\n"
        "task = json.load(open(sys.argv[1]))\n"
        "print('loading')\n"
        "for path in task['pictures']:\n"
        "    open(path, 'rb').close()\n"
        "    print(json.dumps({'picture': path, 'faces': 3, 'milliseconds': [5.0, 7.0, 6.0]}))\n"
    )
    monkeypatch.setattr(peers, "ADAPTERS", {"tool": adapter})
    rows = list(peers.measure_peers([f"tool={sys.executable}"], QUICK, tmp_path))
    first = rows[0]
    assert (first.kind, first.what, first.value, first.faces) == ("peer tool", "320x240, 1 faces", 6.0, 3)
    with pytest.raises(ValueError, match="NAME=PROGRAM"):
        list(peers.measure_peers(["other=python"], QUICK, tmp_path))
    adapter.write_text("raise SystemExit('no weights')")
    with pytest.raises(RuntimeError, match="no weights"):
        list(peers.measure_peers([f"tool={sys.executable}"], QUICK, tmp_path))


def test_every_adapter_that_the_readme_names_is_there():
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert set(peers.ADAPTERS) == {"fer", "hsemotion", "deepface", "human"}
    assert all(f"`{name}`" in readme for name in peers.ADAPTERS)


def test_the_run_that_is_kept_can_be_compared_with():
    kept = last_run()
    if kept is not None:
        assert ("picture", "1280x720, 6 faces") in read_run(kept)
