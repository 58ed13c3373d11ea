"""A model's file with a byte changed anywhere: found out, or refused in one line, and never a crash."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.classifier import open_classifier
from mien.errors import ModelError
from mien.models.metadata import KEY, Metadata, parse_metadata
from mien.models.store import read_model, registry, verify

from conftest import COMPLETE, write_model

MODELS = Path(mien.__file__).parent / "models"
STEP = 997

_LOAD = """
import sys
from pathlib import Path

import numpy as np

import mien
from mien.classifier import Classifier
from mien.errors import ModelError
from mien.models.metadata import parse_metadata
from mien.models.session import Session

whole = Path(sys.argv[1]).read_bytes()
for place in eval(sys.argv[2]):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << place % 8 if place % 3 else 0xFF
    try:
        session = Session(bytes(damaged), name="damaged")
        metadata = parse_metadata(session.properties, file="damaged")
        classifier = Classifier(session, metadata, identity="damaged")
        scores = classifier(np.zeros((1, metadata.size, metadata.size), np.uint8))
        for output, score in zip(metadata.outputs, scores, strict=True):
            assert score.shape == (1, len(output.labels)) and abs(float(score.sum()) - 1) < 1e-3, (place, score)
        print(place, "loaded")
    except ModelError as error:
        assert "\\n" not in str(error), place
        print(place, "refused")
"""


def loaded(places: str) -> list[str]:
    """Return how copies of the embedded model, with a byte at one of `places` changed, were taken in a process."""
    command = [sys.executable, "-c", _LOAD, str(MODELS / "embedded.onnx"), places]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]} after {done.stdout[-100:]}"
    return re.findall(r"^\d+ (loaded|refused)$", done.stdout, re.MULTILINE)


def places_in_file() -> tuple[int, int]:
    """Return where the description of the embedded model begins in its file, at whose end it stands, and that end."""
    content = (MODELS / "embedded.onnx").read_bytes()
    return content.index(b'{"colour"') - 100, len(content)


def test_a_changed_byte_is_refused_or_harmless():
    begin, end = places_in_file()
    places = f"[*range(0, {end}, {STEP * 200}), *range({begin}, {end}, {(end - begin) // 15})]"
    assert {"loaded", "refused"} == set(loaded(places))


@pytest.mark.slow
def test_any_changed_byte_is_refused_or_harmless():
    begin, end = places_in_file()
    ended = loaded(
        f"[*range({STEP // 2}, {end}, {STEP}), *range({begin}, {begin + 300}), *range({begin}, {end}, 23)]"
    )
    assert len(ended) > 4000
    assert ended.count("refused") > 20


@pytest.mark.parametrize("name", sorted(name for name, entry in registry().items() if entry.url is None))
def test_a_byte_anywhere_is_seen_before_a_shipped_model_is_used(name, monkeypatch, tmp_path):
    entry = registry()[name]
    whole = read_model(name).content
    monkeypatch.setattr("mien.models.store.resources.files", lambda package: tmp_path)
    for place in range(0, len(whole), max(1, len(whole) // 20)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / entry.file).write_bytes(damaged)
        with pytest.raises(ModelError, match=f"^{name}: its file is damaged: sha256 .*; install mien again$"):
            read_model(name)
        assert "its file is damaged" in verify(entry)
    (tmp_path / entry.file).write_bytes(whole)
    assert verify(entry) is None


def test_a_damaged_detector_is_no_picture_without_faces(monkeypatch, tmp_path):
    for entry in (entry for entry in registry().values() if entry.url is None):
        content = bytearray((MODELS / entry.file).read_bytes())
        if entry.name == "mtcnn_onet":
            content[len(content) // 2] ^= 0x40
        (tmp_path / entry.file).write_bytes(content)
    monkeypatch.setattr("mien.models.store.resources.files", lambda package: tmp_path)
    with pytest.raises(ModelError, match="mtcnn_onet: its file is damaged"):
        mien.Analyzer()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_answers_with_no_numbers(value, tmp_path):
    path = tmp_path / "mine.onnx"
    write_model(path, {KEY: metadata().to_json()}, first=value)
    with pytest.raises(ModelError, match=r"^mine@.*: its network answers with no numbers"):
        open_classifier(path)(np.full((1, 48, 48), 200, np.uint8))


def test_metadata_that_is_no_text(tmp_path):
    path = tmp_path / "mine.onnx"
    write_model(path, {KEY: metadata().to_json()})
    path.write_bytes(path.read_bytes().replace(b'"licence": "MIT"', b'"licence": "M\xff\xfe"'))
    with pytest.raises(ModelError, match=r"mine\.onnx: what it says of itself is no text"):
        mien.Analyzer(model=path)


def metadata() -> Metadata:
    import json

    return parse_metadata({KEY: json.dumps(COMPLETE)}, file="test")
