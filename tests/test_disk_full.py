"""A disk that fills: under a final name is the whole output or none, the error is one line, and nothing is lost."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from conftest import write_two_shades

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None,
        reason="needs to mount a small disk, as root",
    ),
]

PAGE = 4096


@contextmanager
def disk(where: Path, size: int) -> Iterator[Path]:
    """Give a disk of `size` bytes."""
    where.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(PAGE, size)}", "tmpfs", where], check=False)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


def mien(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mien", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def tree(folder: Path) -> dict[str, str]:
    """Return a digest of each file, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def size(folder: Path) -> int:
    """Return what the files take on a disk of pages."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Return a folder with photographs, a film, and a labelled set."""
    root = tmp_path_factory.mktemp("inputs")
    with Image.open(Path(__file__).parent.parent / "examples" / "astronaut.jpg") as image:
        person = image.convert("RGB")
    for label in ("happy", "sad"):
        (root / "photos" / label).mkdir(parents=True)
        for i in range(12):
            side = 400 + 10 * i + (5 if label == "sad" else 0)
            person.rotate(2 * i - 12).resize((side, side)).save(root / "photos" / label / f"{i}.jpg", quality=90)
    shutil.copytree(Path(__file__).parent.parent / "examples", root / "people" / "happy")
    frames = [person.resize((320, 320)).rotate(i) for i in range(20)]
    frames[0].save(root / "film.gif", save_all=True, append_images=frames[1:], duration=100)
    assert mien("analyze", root / "film.gif", "--out", root / "film.jsonl", cwd=root).returncode == 0
    write_two_shades(root / "set")
    return root


Command = Callable[[Path, Path], list[str | Path]]

OUTPUTS: dict[str, Command] = {
    "records": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--out", out / "r.jsonl"],
    "csv": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--out", out / "r.csv"],
    "json": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--out", out / "r.json"],
    "parquet": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--out", out / "r.parquet"],
    "pictures": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--out", f"{out / 'marked'}/"],
    "crops": lambda inputs, out: ["analyze", inputs / "photos", "-r", "--crops", out / "crops"],
    "film": lambda inputs, out: ["analyze", inputs / "film.gif", "--out", out / "film.mp4"],
    "report": lambda inputs, out: ["evaluate", "embedded", "--data", inputs / "set", "--report", out / "report"],
    "import": lambda inputs, out: ["data", "import", inputs / "photos", "--out", out / "set"],
    "collect": lambda inputs, out: (
        ["collect", "three", "--provider", "local", "--from", inputs / "photos", "--out", out / "web"]
    ),
    "clean": lambda inputs, out: ["clean", inputs / "people", "--faces", "all", "--out", out / "faces"],
    "chart": lambda inputs, out: ["plot", inputs / "film.jsonl", "--out", out / "film.png"],
}
AS_ONE = {"report", "import", "clean"}
"""What makes a folder that is there as a whole or not at all; of others each file is."""


@pytest.fixture(scope="module", params=OUTPUTS)
def output(request, inputs, tmp_path_factory) -> tuple[str, Path]:
    """Return the name of a command and the folder with what it makes where there is room."""
    roomy = tmp_path_factory.mktemp(request.param)
    done = mien(*OUTPUTS[request.param](inputs, roomy), cwd=roomy)
    assert done.returncode == 0, done.stderr
    return request.param, roomy


@pytest.mark.parametrize("share", [0.0, 0.4, 0.6, 0.9])
def test_a_final_name_stands_for_a_whole_output(inputs, tmp_path, output, share):
    name, roomy = output
    wanted, pages = tree(roomy), size(roomy) // PAGE
    with disk(tmp_path / "disk", int(share * pages) * PAGE) as small:
        done = mien(*OUTPUTS[name](inputs, small), cwd=tmp_path)
        found = {path: digest for path, digest in tree(small).items() if ".partial" not in path}
    assert "Traceback" not in done.stderr
    if name == "collect":
        return  # its journal says how far it came: test_collecting_goes_on
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "No space left" in line]
    assert line.startswith("mien: ")
    if name in AS_ONE:
        assert not found
    elif name not in ("film", "parquet", "chart"):  # two encodings of the same need not be the same bytes
        assert found.items() <= wanted.items()
    assert found.keys() <= wanted.keys()


def test_collecting_goes_on(inputs, tmp_path):
    (tmp_path / "roomy").mkdir()
    assert mien(*OUTPUTS["collect"](inputs, tmp_path / "roomy"), cwd=tmp_path).returncode == 0
    wanted = {path for path in tree(tmp_path / "roomy") if path.startswith("web/pictures")}
    assert wanted
    with disk(tmp_path / "disk", size(tmp_path / "roomy") // 2) as small:
        done = mien(*OUTPUTS["collect"](inputs, small), cwd=tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert mien(*OUTPUTS["collect"](inputs, small), cwd=tmp_path).returncode == 0
        assert {path for path in tree(small) if path.startswith("web/pictures")} == wanted


def test_training_goes_on(inputs, tmp_path):
    command = ["train", "embedded", "--data", inputs / "set"]
    changes = ("epochs=3", "batch_size=16", "stem=8", "widths=[8, 16]", "blocks=[1, 1]", "precision=32-true")
    settings = [word for change in changes for word in ("--set", change)]
    assert mien(*command, *settings, "--run", tmp_path / "whole", cwd=tmp_path).returncode == 0
    room = size(tmp_path / "whole")
    for share in (0.0, 0.2, 0.5, 0.8):
        with disk(tmp_path / "disk", int(share * room)) as small:
            done = mien(*command, *settings, "--run", small / "run", cwd=tmp_path)
            assert done.returncode == 1, (share, done.stderr)
            assert "Traceback" not in done.stderr, share
            assert len([line for line in done.stderr.splitlines() if line.startswith("mien: ")]) == 1
            subprocess.run(["mount", "-o", "remount,size=256m", small], check=True)
            on = ["--resume"] if (small / "run" / "checkpoints" / "last.ckpt").exists() else settings
            again = mien(*command, *on, "--run", small / "run", cwd=tmp_path)
            assert again.returncode == 0, (share, again.stderr)
            exported = mien("export", small / "run", small / "m.onnx", cwd=tmp_path)
            assert exported.returncode == 0, exported.stderr
