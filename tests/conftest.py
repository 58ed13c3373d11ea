"""What tests share: where pictures are, one loaded Analyzer, and the command line run in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main

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


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return intersection over union of two boxes."""
    shared_sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    intersection = max(0.0, shared_sides[0]) * max(0.0, shared_sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return intersection / (sum(areas) - intersection)
