"""The commands in docs/detectors.md, typed one after the other."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest

from mien.models.providers import NAMES

from conftest import EXAMPLES, ROOT

TEXT = (ROOT / "docs" / "detectors.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


def test_every_command_does_what_it_says(run, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    shutil.copy(EXAMPLES / "astronaut.jpg", "photo.jpg")
    shutil.copy(shared / "models" / "yunet_n_dynamic.onnx", tmp_path)
    mien = [shlex.split(line, comments=True)[1:] for line in COMMANDS if line.startswith("mien ")]
    assert len(mien) >= 6
    fetched = ["models", "pull", "yunet"]
    assert mien[0] == fetched  # from the web; here, by the command that takes a file in its place
    by_hand = next(words for words in mien if words[:3] == fetched and "--from" in words)
    assert run(*by_hand).status == 0
    for words in mien:
        if words[0] == "serve":  # which would go on until somebody stops it
            continue
        done = run(*words)
        assert done.status == 0, f"{words}: {done.err}"


def test_every_device_is_told_of():
    for name in NAMES:
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("command", ["speed", "found", "media", "crops"])
def test_the_script_that_it_names_is_there(command):
    assert (ROOT / "scripts" / "compare_detectors.py").is_file()
    assert f"python scripts/compare_detectors.py {command}" in TEXT
