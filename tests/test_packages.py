"""The wheel and the sdist: built from a clean copy, small, complete, and installed where there is no compiler."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mien

from conftest import EXAMPLES, ROOT

pytestmark = pytest.mark.slow
PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".mp4")
WHEEL_MB, SDIST_MB = 6.0, 8.0


def ran(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Copy what git has or would take, and nothing that lies about."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository")
    there = tmp_path_factory.mktemp("tree") / "mien"
    names = ran("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, there / name)
    return there


@pytest.fixture(scope="module")
def built(tree, tmp_path_factory) -> dict[str, Path]:
    """Build both from the tree."""
    pytest.importorskip("build", reason="needs the extra dev")
    out = tmp_path_factory.mktemp("dist")
    ran(sys.executable, "-m", "build", "--sdist", "--wheel", "--outdir", out, tree)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    """Unpack the sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    assert top.name == f"mien-{mien.__version__}"
    return top


def wheel_content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_twine_finds_nothing_to_complain_of(built):
    pytest.importorskip("twine", reason="needs the extra dev")
    ran(sys.executable, "-m", "twine", "check", "--strict", *built.values())


def test_the_wheel_holds_the_package_and_nothing_else(built):
    content = wheel_content(built["wheel"])
    info = f"mien-{mien.__version__}.dist-info"
    assert {name.partition("/")[0] for name in content} == {"mien", info}
    assert {name for name in content if name.startswith(info)} == {
        f"{info}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE")
    }
    here = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "mien").rglob("*") if path.is_file()}
    assert {name for name in content if name.startswith("mien/")} == {n for n in here if not n.endswith(".pyc")}
    kinds = {Path(name).suffix for name in content if name.startswith("mien/")}
    assert kinds == {".py", ".typed", ".onnx", ".toml", ".txt", ".jpg", ".png", ".css", ".js", ".html"}
    for name in ("LICENSE", "NOTICE"):
        assert content[f"{info}/licenses/{name}"] == (ROOT / name).read_bytes()
    assert built["wheel"].stat().st_size < WHEEL_MB * 1e6
    assert built["wheel"].name.endswith("-py3-none-any.whl")


def test_the_sdist_holds_what_the_makefile_needs(built, unpacked):
    assert {path.name for path in unpacked.iterdir()} == {
        "src", "tests", "scripts", "benchmarks", "docs", "examples", "notebooks", "requirements",
        "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "NOTICE", "README.md",
        "RESPONSIBLE_USE.md", "SECURITY.md", "constraints.txt", "pyproject.toml", "zensical.toml", "PKG-INFO",
        ".gitignore",
    }  # fmt: skip
    data = {path.suffix for path in (unpacked / "tests").rglob("*") if path.is_file()}
    assert data <= {".py", ".js", ".toml"}, "tests make their data, and bring none"
    assert built["sdist"].stat().st_size < SDIST_MB * 1e6
    largest = max((path for path in unpacked.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    assert largest.name == "embedded.onnx"


def test_every_picture_is_told_of_in_the_notice(built, unpacked):
    notice = (ROOT / "NOTICE").read_text("utf-8")
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")}
    names |= {f"src/{name}" for name in wheel_content(built["wheel"])}
    pictures = {name for name in names if name.endswith(PICTURES)}
    assert len(pictures) == 10
    for name in pictures:
        assert name in notice or f"{name.rpartition('/')[0]}/" in notice, name


def test_the_version_comes_from_one_place(built, unpacked):
    metadata = email.message_from_bytes(wheel_content(built["wheel"])[f"mien-{mien.__version__}.dist-info/METADATA"])
    assert metadata["Version"] == mien.__version__
    assert email.message_from_bytes((unpacked / "PKG-INFO").read_bytes())["Version"] == mien.__version__
    assert metadata["License-Expression"] == "MIT"
    sources = [path for path in (ROOT / "src").rglob("*.py") if f'"{mien.__version__}"' in path.read_text("utf-8")]
    assert sources == [ROOT / "src" / "mien" / "__init__.py"]
    assert not re.search(r"^version\s*=", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert f"version: {mien.__version__}" in (ROOT / "CITATION.cff").read_text("utf-8").replace('"', "")


def test_a_wheel_built_from_the_sdist_is_the_same(built, unpacked, tmp_path):
    ran(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, unpacked)
    (again,) = tmp_path.glob("*.whl")
    assert wheel_content(again) == wheel_content(built["wheel"])


def offline() -> list[str]:
    """Return what runs a command without a network, if this user may."""
    allowed = shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0
    return [str(shutil.which("unshare")), "-n"] if allowed else []


def test_it_installs_without_a_compiler_and_works_without_a_network(built, tmp_path):
    place, empty, home = tmp_path / "venv", tmp_path / "empty", tmp_path / "home"
    empty.mkdir()
    home.mkdir()
    ran(sys.executable, "-m", "venv", place)
    ours = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "NO_PROXY"))
    }
    bare = {**ours, "PATH": str(place / "bin"), "HOME": str(home)}
    assert all(
        shutil.which(compiler, path=bare["PATH"]) is None for compiler in ("cc", "gcc", "clang", "cargo", "make")
    )
    python = place / "bin" / "python"
    ran(
        python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--constraint", ROOT / "constraints.txt",
        built["wheel"], env=bare,
    )  # fmt: skip
    assert ran(python, "-m", "pip", "check", env=bare).strip() == "No broken requirements found."
    command = place / "bin" / "mien"
    assert ran(command, "--version", cwd=empty, env=bare) == f"mien {mien.__version__}\n"
    told = ran(*offline(), command, "analyze", EXAMPLES / "astronaut.jpg", cwd=empty, env=bare)
    (record,) = map(json.loads, told.splitlines())
    assert [face["emotion"] for face in record["faces"]] == ["happy"]
    assert str(place) in ran(python, "-c", "import mien; print(mien.__file__)", cwd=empty, env=bare)
    assert list(empty.iterdir()) == []
    assert [path for path in home.rglob("*") if path.is_file() and ".cache/pip" not in str(path)] == []
