"""The commands in docs/cleaning.md, typed one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from mien.cli import app
from mien.collect.verdicts import Reason
from mien.datasets.importing import import_faces

from conftest import ROOT, real_faces

TEXT = (ROOT / "docs" / "cleaning.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


@pytest.fixture
def here(shared, tmp_path, monkeypatch) -> Path:
    """Return a folder with web/, data/test and decisions.json, as the page has them."""
    faces = real_faces(shared, "public_test")
    labels = np.load(shared / "data" / "fer2013" / "labels.npz")["public_test_labels"]
    for number, label in ((3, "happy"), (4, "sad")):
        rows = np.flatnonzero(labels == number)
        for part, some, side in (("web", rows[:10], 240), ("test", rows[10:16], 48)):
            for i, row in enumerate(some):
                path = tmp_path / part / label / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                large = Image.fromarray(faces[row]).resize((side, side), Image.Resampling.BICUBIC)
                picture = Image.new("L", (side * 2, side * 2), 120) if side > 48 else Image.new("L", (48, 48))
                picture.paste(large, (side // 2, side // 2) if side > 48 else (0, 0))
                picture.save(path)
    import_faces(tmp_path / "test", tmp_path / "data" / "test", split="test")
    (tmp_path / "decisions.json").write_text('{"mien": "decisions", "decisions": []}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_does_what_it_says(run, here):
    assert len(COMMANDS) >= 10
    for line in COMMANDS:
        _, *words = shlex.split(line, comments=True)
        if words[0] == "train":
            command = typer.main.get_command(app)
            command.commands["train"].make_context("train", words[1:])
            continue
        done = run(*words)
        assert done.status == 0, f"{line}: {done.err}"
    for name in ("metadata.csv", "rejected.csv", "sheets/label-happy.jpg", "suspects.html"):
        assert (here / "faces" / name).is_file()
    assert (here / "all" / "metadata.csv").is_file()


def test_every_reason_and_option_is_told():
    for reason in Reason:
        assert f"`{reason}`" in TEXT
    options = typer.main.get_command(app).commands["clean"].params
    for option in options:
        names = [*option.opts, *option.secondary_opts]
        if names[0].startswith("--") and option.name not in ("help", "quiet", "detector"):
            assert all(name in TEXT for name in names if name.startswith("--")), names
