"""Packages that are missing, or cannot be loaded: one line says which and what to do, and the rest goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.cli.broken import broken_package
from mien.evaluation.scenes import write_film

from conftest import EXAMPLES

ASTRONAUT = str(EXAMPLES / "astronaut.jpg")
FAULTS = {
    "missing library": 'raise ImportError("libgomp.so.1: cannot open shared object file\\nsee elsewhere")',
    "broken library": 'raise OSError("[WinError 126] The specified module could not be found")',
    "another numpy": 'raise AttributeError("_ARRAY_API not found")',
    "not installed": "raise ModuleNotFoundError(\"No module named 'x'\", name=__name__)",
}


@pytest.fixture
def broken(tmp_path):
    """Return what runs a command where a package fails as it is imported."""

    def run_with(package: str, fault: str, *command: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "path" / package).mkdir(parents=True)
        (tmp_path / "path" / package / "__init__.py").write_text(FAULTS[fault] + "\n")
        # before all else, also before the folder of this program's own packages
        start = f"import sys; sys.path.insert(0, {str(tmp_path / 'path')!r}); from mien.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", start, *command], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    return run_with


def one(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
    assert done.stderr.startswith("mien: ")
    return done.stderr


@pytest.mark.parametrize(
    ("package", "fault"),
    [
        ("onnxruntime", "broken library"),
        pytest.param("onnxruntime", "missing library", marks=pytest.mark.slow),
        pytest.param("onnxruntime", "another numpy", marks=pytest.mark.slow),
        pytest.param("onnxruntime", "not installed", marks=pytest.mark.slow),
        *(pytest.param("PIL", fault, marks=pytest.mark.slow) for fault in ("missing library", "not installed")),
        *(pytest.param("numpy", fault, marks=pytest.mark.slow) for fault in ("missing library", "another numpy")),
    ],
)
def test_what_analyze_needs(broken, package, fault):
    told = one(broken(package, fault, "analyze", ASTRONAUT, "--out", "seen.jsonl"), 2)
    name = {"PIL": "pillow"}.get(package, package)
    assert f"mien: {name} cannot be loaded (" in told
    assert f"reinstall it: pip install --force-reinstall {name}" in told
    assert not Path("seen.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["broken library", "not installed"])
@pytest.mark.parametrize("package", ["onnxruntime", "PIL", "av"])
def test_the_service_does_not_start(broken, package, fault):
    pytest.importorskip("fastapi", reason="needs the extra serve")
    told = one(broken(package, fault, "serve", "--port", "0", "--no-page"), 2)
    assert "cannot be loaded (" in told and "pip install --force-reinstall" in told


@pytest.mark.slow
def test_a_page_that_cannot_be_loaded(broken):
    pytest.importorskip("gradio", reason="needs the extra serve")
    told = one(broken("gradio", "missing library", "serve", "--port", "0"), 2)
    assert "mien: gradio cannot be loaded (libgomp" in told


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["missing library", "not installed"])
@pytest.mark.parametrize("package", ["onnxruntime", "PIL", "av", "numpy"])
def test_doctor_finds_it_and_mien_can_be_imported(broken, tmp_path, package, fault):
    done = broken(package, fault, "doctor")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    name = {"PIL": "pillow"}.get(package, package)
    (told,) = [line for line in done.stderr.splitlines() if line.startswith(f"mien: {name} ")]
    assert told.endswith(f": pip install --force-reinstall {name}")
    start = f"import sys; sys.path.insert(0, {str(tmp_path / 'path')!r}); import mien; mien.Emotion, mien.MienError"
    assert subprocess.run([sys.executable, "-c", start], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["missing library", "another numpy", "not installed"])
def test_without_films_pictures_are_done(broken, tmp_path, fault):
    """And each film is told, as every input that cannot be read."""
    write_film(tmp_path / "b.mp4", 1, (160, 120), 0.2)
    done = broken("av", fault, "analyze", ASTRONAUT, "b.mp4", ASTRONAUT, "--out", "seen.jsonl")
    assert one(done, 1).startswith("mien: b.mp4: PyAV, by which films are read and written, cannot be loaded (")
    assert [len(result.faces) for result in mien.read_results(tmp_path / "seen.jsonl")] == [1, 0, 1]


def test_an_animation_cannot_become_a_film(broken, tmp_path):
    from PIL import Image

    frames = [Image.new("RGB", (64, 48), (n * 80, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    told = one(broken("av", "missing library", "analyze", "a.gif", "--detector", "none", "--out", "a.mp4"), 1)
    assert told.startswith("mien: a.mp4: PyAV, by which") and "pip install --force-reinstall av" in told
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("a.")) == ["a.gif"]


def test_errors_of_our_own_are_not_put_down_to_others():
    for wrong in ("mien.analyze(3, nothing=1)", "import mien.nowhere", "import json; json.loads('{')"):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            exec(compile(wrong, "test", "exec"), {"__name__": "mien.test", "mien": mien})
        assert broken_package(caught.value) is None
