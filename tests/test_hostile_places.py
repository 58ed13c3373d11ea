"""Hostile names, links, folders and permissions, and files that change while they are read."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mien.errors import SourceError

from conftest import ROOT
from hostile.films import film
from hostile.pictures import encoded, face

PICTURE = encoded(face(), "JPEG")
NAMES = {
    "a-new-line": b"two\nlines.jpg",
    "a-carriage-return": b"two\rlines.jpg",
    "a-tab": b"a\ttab.jpg",
    "bytes-that-are-no-utf-8": b"\xff\xfe\x80.jpg",
    "a-surrogate-in-utf-8": b"\xed\xa0\x80.jpg",
    "an-escape": b"\x1b[2J\x1b]0;title\x07.jpg",
    "a-backspace": b"gone\x08\x08.jpg",
    "right-to-left": "\u202egpj.txt.jpg".encode(),
    "a-line-separator": "line\u2028separator.jpg".encode(),
    "a-dash": b"--model=nothing.jpg",
    "a-star": b"*?[a-z].jpg",
    "a-percent": b"%s%n%d%x.jpg",
    "braces": b"{0.__class__}.jpg",
    "markup": b"[red]bold[blue]<b>.jpg",
    "a-quote": b"\"';rm -rf.jpg",
    "a-dollar": b"$(touch owned)`touch owned`.jpg",
    "a-backslash": b"C:\\windows.jpg",
    "a-camera": b"camera:0.jpg",
    "an-address": b"rtsp:a.jpg",
    "a-space": b" .jpg",
    "a-name-as-long-as-may-be": b"x" * 251 + b".jpg",
    "combining-marks": ("e" + "\u0301" * 60 + ".jpg").encode(),
    "a-picture-of-words": "\U0001f600\u200d\U0001f525.jpg".encode(),
    "suffixes": b"a.tar.gz.mp4.jpg",
    "capitals": b"A.JPG",
}


def mien(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mien", "analyze", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, timeout=300, check=False, env=environment, **options)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all that may lie in one, and good files between."""
    folder = tmp_path_factory.mktemp("places") / "files"
    folder.mkdir()
    for name in NAMES.values():
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(PICTURE)
        bad = Path(os.fsdecode(os.fsencode(folder) + b"/bad " + name[:200] + b".jpg"))
        bad.write_bytes(b"no picture")
    deep = folder
    for _ in range(60):
        deep = deep / "deeper"
        deep.mkdir()
    (deep / "good.jpg").write_bytes(PICTURE)
    (deep / "up").symlink_to(folder)
    (folder / "itself").symlink_to(folder)
    (folder / "one.jpg").symlink_to("other.jpg")
    (folder / "other.jpg").symlink_to("one.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "nowhere.jpg").symlink_to("nothing")
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "good.jpg").write_bytes(PICTURE)
    (folder / "link-to-folder.jpg").symlink_to("folder.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "memory.jpg").symlink_to("/proc/self/mem")
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # names of sockets are short
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
    for name in ("sparse.jpg", "sparse.mp4", "sparse.ts"):
        with (folder / name).open("wb") as file:
            file.truncate(1 << 40)
    yield folder
    shutil.rmtree(folder.parent)


def test_by_the_library(folder, analyzer):
    results = list(analyzer.stream(folder, recursive=True))
    done = {Path(result.source).name for result in results if result.error is None and len(result.faces) == 1}
    assert done == {os.fsdecode(name) for name in NAMES.values()} | {"good.jpg"}
    assert sum(Path(result.source).name == "good.jpg" for result in results) == 2
    errors = {Path(result.source).name: result.error for result in results if result.error is not None}
    assert all(error.isprintable() and len(error) < 6000 for error in errors.values())
    assert errors.keys() > {"one.jpg", "other.jpg", "self.jpg", "nowhere.jpg", "sparse.jpg", "sparse.mp4"}
    assert len(errors) + len(done) == len({result.source for result in results}) - 1


def test_by_the_command_line(folder, tmp_path):
    done = mien(folder, "-r", "--out", tmp_path / "out.jsonl", "--out", tmp_path / "out.csv")
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    told = records(tmp_path / "out.jsonl")
    errors = [record["error"] for record in told if record["error"] is not None]
    assert lines == [f"mien: {error}" for error in errors]
    good = [record for record in told if record["error"] is None]
    assert len(good) == len(NAMES) + 2 and all(len(record["faces"]) == 1 for record in good)
    assert not (folder / "owned").exists() and not Path("owned").exists()


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/dev/full", "/proc/self/mem"])
def test_what_is_no_file_given_by_name(name, analyzer):
    if not os.path.lexists(name):
        pytest.skip("there is no such thing here")
    (result,) = analyzer.stream(name)
    assert result.error.startswith(f"{name}: ")


def test_files_that_go_away_and_come_while_others_are_read(analyzer, tmp_path):
    for name in "abcdef":
        (tmp_path / f"{name}.jpg").write_bytes(PICTURE)
    stream = analyzer.stream(tmp_path)
    first = next(stream)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.jpg").unlink()
    (tmp_path / "d.jpg").mkdir()
    (tmp_path / "e.jpg").write_bytes(PICTURE[: len(PICTURE) // 2])
    (tmp_path / "g.jpg").write_bytes(PICTURE)
    others = list(stream)
    assert first.error is None
    assert [Path(result.source).name for result in others] == ["b.jpg", "c.jpg", "e.jpg", "f.jpg"]
    assert [result.error is None for result in others] == [False] * 3 + [True]
    assert "there is no such file" in others[0].error and "empty" in others[1].error
    assert "cut short" in others[2].error


@pytest.mark.parametrize("form", ["mp4", "mpegts"])
@pytest.mark.parametrize("change", ["grows", "shrinks", "goes"])
def test_a_film_that_changes_while_it_is_read(form, change, analyzer, tmp_path):
    path = tmp_path / "film.mp4"
    content = film(form, frames=60)
    path.write_bytes(content)
    stream = analyzer.stream(path)
    first = next(stream)
    if change == "grows":
        with path.open("ab") as file:
            file.write(content)
    elif change == "shrinks":
        os.truncate(path, len(content) // 2)
    else:
        path.unlink()
    results = [first, *stream]
    assert [result.frame for result in results[:-1]] == list(range(len(results) - 1))
    assert all(result.error is None for result in results[:-1])
    if change != "shrinks":
        assert len(results) >= 60
    (other,) = analyzer.stream(ROOT / "examples" / "astronaut.jpg")
    assert len(other.faces) == 1


def test_a_folder_that_goes_away_while_it_is_read(analyzer, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jpg").write_bytes(PICTURE)
    stream = analyzer.stream(folder)
    next(stream)
    shutil.rmtree(folder)
    assert [result.error is None for result in stream] == [False, False]
    with pytest.raises(SourceError, match="there is no such file or folder"):
        list(analyzer.stream(folder))


@pytest.fixture
def nobody():
    """Be somebody who may not read what others may not, also where the tests are run by root, who may."""
    if os.geteuid() != 0:
        yield lambda: None
        return
    try:
        yield lambda: os.setresuid(65534, 65534, 0)
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="permissions are those of POSIX")
def test_files_and_folders_without_permission(analyzer, nobody):
    with TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        folder = Path(temporary) / "files"
        (folder / "closed").mkdir(parents=True)
        for path in (folder / "a.jpg", folder / "closed" / "b.jpg", folder / "good.jpg", folder / "film.mp4"):
            path.write_bytes(PICTURE)
        for path in (folder / "a.jpg", folder / "film.mp4", folder / "closed"):
            path.chmod(0)
        nobody()
        results = list(analyzer.stream(folder, recursive=True))
        if hasattr(os, "getresuid") and os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)
        (folder / "closed").chmod(0o700)
    errors = {Path(result.source).name: result.error for result in results}
    assert errors.pop("good.jpg") is None
    assert errors.keys() == {"a.jpg", "closed", "film.mp4"}
    assert all("cannot be opened (Permission denied)" in errors[name] for name in ("a.jpg", "film.mp4"))
    assert "cannot be read" in errors["closed"]
