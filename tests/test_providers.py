"""What networks are computed on: what is asked for, or an error; with the onnxruntime that is installed."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest

import mien
from mien.cli import options
from mien.errors import UsageError
from mien.models import session
from mien.models.providers import CPU, DEVICES, NAMES, check, choose, there
from mien.models.session import Session, chosen_device, read_model, runtime
from mien.serve.settings import from_environment

OFFERED = runtime()[1]
ABSENT = [device.name for device in DEVICES if device not in there(OFFERED)]
EVERY = [device.provider for device in DEVICES]


def test_the_processor_is_what_is_used_unless_something_else_is_asked_for():
    network = Session(read_model("mtcnn_pnet").content, name="mtcnn_pnet")
    assert network.device is CPU


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_there_is_an_error_that_says_what_is_and_how_to_get_it(name):
    with pytest.raises(UsageError) as caught:
        mien.Analyzer(device=name)
    text = str(caught.value)
    assert f"--device {name}" in text and "what there is: " in text and "cpu" in text and "pip install" in text
    assert "\n" not in text


def test_an_unknown_device_is_an_error():
    with pytest.raises(UsageError, match="auto, cpu, cuda, directml, coreml, openvino"):
        mien.analyze(np.zeros((8, 8, 3), np.uint8), device="tpu")


def test_auto_takes_the_first_that_works():
    assert choose("auto", EVERY, works=lambda device: True).name == "cuda"
    assert choose("auto", EVERY, works=lambda device: device.name in ("coreml", "openvino")).name == "coreml"
    assert choose("auto", EVERY, works=lambda device: False) is CPU
    assert choose("auto", OFFERED, works=lambda device: False) is CPU


@pytest.mark.skipif("CUDAExecutionProvider" in OFFERED, reason="this onnxruntime has CUDA")
def test_auto_tries_what_is_offered_once_and_takes_the_processor_where_it_does_not_start(monkeypatch):
    """As with a provider whose libraries are missing: onnxruntime warns, and takes the processor."""
    monkeypatch.setattr(session, "runtime", lambda: ("1", [*OFFERED, "CUDAExecutionProvider"]))
    tried = []
    works = session._works
    monkeypatch.setattr(session, "_works", lambda device: tried.append(device.name) or works(device))
    session._best_device.cache_clear()
    try:
        with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
            assert chosen_device("auto") is CPU
        assert chosen_device("auto") is CPU
    finally:
        session._best_device.cache_clear()
    assert tried == ["cuda"]


@pytest.mark.skipif("CUDAExecutionProvider" in OFFERED, reason="this onnxruntime has CUDA")
def test_what_onnxruntime_leaves_out_in_silence_is_an_error(monkeypatch, capfd):
    monkeypatch.setattr(session, "runtime", lambda: ("1", [*OFFERED, "CUDAExecutionProvider"]))
    with (
        pytest.raises(UsageError, match="could not start there"),
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
    ):
        Session(read_model("mtcnn_pnet").content, name="mtcnn_pnet", device="cuda")
    assert capfd.readouterr().out == ""


def test_a_session_without_the_provider_is_refused():
    cuda = choose("cuda", EVERY, works=lambda device: True)
    check(cuda, [cuda.provider, CPU.provider], EVERY)
    with pytest.raises(UsageError, match=r"could not start there.*what there is: directml, coreml, openvino, cpu"):
        check(cuda, [CPU.provider], EVERY)


def test_every_verb_with_networks_has_the_option(run, astronaut):
    assert set(get_args(options.DeviceName)) == set(NAMES)
    (absent, *_) = ABSENT
    for arguments in (
        ("analyze", astronaut),
        ("watch", astronaut),
        ("evaluate", "embedded", "--data", "nowhere"),
        ("bench", astronaut, "--runs", "1"),
        ("serve", "--port", "0"),
    ):
        done = run(*arguments, "--device", absent)
        assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1), done
        assert f"--device {absent}" in done.err
    assert run("analyze", astronaut, "--device", "auto", "--quiet", "--out", "-").status == 0


def test_a_server_is_told_by_its_environment():
    told = from_environment({"MIEN_DEVICE": "auto", "MIEN_DETECTOR": "yunet"})
    assert told == {"device": "auto", "detector": "yunet"}


def test_doctor_says_what_is_there(run):
    told = json.loads(run("doctor", "--json").out)
    assert told["devices"] == [device.name for device in there(OFFERED)]
    assert told["auto"] in told["devices"]
    lines = run("doctor").out.splitlines()
    assert any(line.startswith("--device auto") and told["auto"] in line for line in lines)


@pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in OFFERED, reason="needs onnxruntime-openvino in place of onnxruntime"
)
def test_openvino_gives_the_scores_of_the_processor(astronaut, analyzer):
    (face,) = mien.analyze(astronaut, device="openvino").faces
    (same,) = analyzer.analyze(astronaut).faces
    assert face.box == pytest.approx(same.box, abs=0.5)
    assert face.scores == pytest.approx(same.scores, abs=1e-3)
