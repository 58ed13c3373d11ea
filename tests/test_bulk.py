"""Many inputs: worker processes, lists, runs that are killed and go on, memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from mien.bulk.drawing import Drawing
from mien.bulk.journal import Journal
from mien.bulk.pool import Pool
from mien.bulk.task import Input, Settings
from mien.errors import UsageError
from mien.evaluation.scenes import write_film
from mien.sources import folder as walking
from mien.sources import walk_pictures

from conftest import EXAMPLES

MIEN = [sys.executable, "-m", "mien"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return a folder of twenty small pictures: faces, one of nobody, and one that is no picture."""
    folder = tmp_path_factory.mktemp("bulk") / "photos"
    (folder / "more").mkdir(parents=True)
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        face = image.convert("RGB").crop((130, 0, 330, 200))
    for number in range(18):
        place = folder if number < 12 else folder / "more"
        face.rotate(number - 9).resize((120 + number, 120 + number)).save(place / f"{number:02}.jpg", quality=90)
    Image.new("RGB", (64, 48)).save(folder / "03b.png")
    (folder / "07b.jpg").write_bytes(b"no picture")
    return folder


def command(*arguments) -> list[str]:
    return [*MIEN, "analyze", *map(str, arguments)]


def rows(path: Path) -> int:
    """Return how many whole lines a file has by now."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what is waited for does not come"
        time.sleep(0.01)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- worker processes -------------------------------------------------------------------------------------------


def test_workers_write_what_one_process_writes(run, pictures, tmp_path):
    for workers in (1, 2):
        out = tmp_path / str(workers)
        outs = [out / "all.jsonl", out / "all.csv", out / "marked/"]
        done = run(
            "analyze", pictures, "-r", "--workers", workers, *(part for one in outs for part in ("--out", one)),
            "--crops", out / "faces",
        )  # fmt: skip
        assert (done.status, done.err.count("\n")) == (1, 1)
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert list(one) == list(two)
    assert {name.split("/")[0] for name in one} == {"all.csv", "all.jsonl", "faces", "marked"}
    assert len([name for name in one if name.startswith("marked/")]) == 19
    ours, theirs = (
        [json.loads(line) for line in made["all.jsonl"].decode().splitlines()] for made in (one, two)
    )
    names = [str(path) for path in walk_pictures(pictures, recursive=True)]
    assert [record["source"] for record in ours] == [record["source"] for record in theirs] == names
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["error"] == other["error"]
        for face, same in zip(mine["faces"], other["faces"], strict=True):
            assert same["box"] == pytest.approx(face["box"], abs=0.01)
            assert same["scores"] == pytest.approx(face["scores"], abs=1e-5)
    assert one == two  # byte for byte, drawn ones too


@contextmanager
def pool(inputs, *, workers, drawing=None):
    """Go through inputs in worker processes; yields the steps."""
    settings = Settings(detector="none", smooth=None, detect_every=0.4)
    model = settings.open().model
    with closing(Pool(settings, drawing or Drawing(), workers=workers, model=model).steps(iter(inputs))) as steps:
        yield steps


def of(path: Path) -> Input:
    return Input(path.name, path, Path(path.name))


class Gate:
    """A picture at which whoever reads it is held up, until it is let through."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path, self._writer = path, -1

    def wait(self) -> None:
        """Wait until a process has begun to read."""

        def opened() -> bool:
            try:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
            return True

        until(opened)

    def let_go(self) -> None:
        os.close(self._writer)

    def open(self, picture: Path) -> None:
        self.path.write_bytes(picture.read_bytes())


def workers_of(pid: int) -> list[int]:
    """Return the worker processes of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@needs_linux
def test_what_is_done_waits_for_what_came_before_it(pictures, tmp_path, astronaut):
    gate = Gate(tmp_path / "held.jpg")
    others = [of(path) for path in sorted(pictures.glob("0[0-2].jpg"))]
    drawing = Drawing(outs=(tmp_path / "marked",))
    with pool([of(gate.path), *others], workers=2, drawing=drawing) as steps:
        assert next(steps).one.source == gate.path

        def open_late() -> None:
            until(lambda: len(list((tmp_path / "marked").glob("*.jpg"))) == 2)  # by the other worker
            gate.open(astronaut)

        with in_thread(open_late):
            results = [step.result for step in steps if step.result is not None]
    assert [result.source for result in results] == ["held.jpg", *(one.name for one in others)]
    assert all(len(result.faces) == 1 for result in results)
    assert not multiprocessing.active_children()


@contextmanager
def in_thread(work):
    errors = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert errors == []


@needs_linux
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies_is_replaced_and_what_kills_two_is_an_error(pictures, tmp_path, astronaut, deaths):
    gate, last = Gate(tmp_path / "held.jpg"), of(pictures / "00.jpg")

    def kill() -> None:
        for _ in range(deaths):
            gate.wait()
            (worker,) = workers_of(os.getpid())
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: not Path(f"/proc/{worker}").exists())
            gate.let_go()
        if deaths == 1:
            gate.open(astronaut)

    with pool([of(gate.path), last], workers=1) as steps, in_thread(kill):
        one, two = (step.result for step in steps if step.result is not None)
    assert (one.source, len(one.faces), two.source, len(two.faces)) == ("held.jpg", 2 - deaths, "00.jpg", 1)
    if deaths == 2:
        assert one.error.startswith("held.jpg: the process that analysed it died, twice (exit status -9")


@needs_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_run_and_another_goes_on(run, pictures, tmp_path, number):
    """Held up at the sixth of eleven pictures, the run is ended as a terminal does it, by a scheduler, or killed."""
    gate, out = Gate(tmp_path / "held.jpg"), tmp_path / "all.jsonl"
    paths = [*sorted(pictures.glob("*.jpg"))[:10]]
    paths.insert(5, gate.path)
    outs = ["--out", out, "--out", tmp_path / "all.csv", "--out", tmp_path / "marked/"]
    process = subprocess.Popen(
        command(*paths, *outs, "--workers", 2), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: rows(tmp_path / "all.jsonl.partial") == 5)
    gate.wait()
    workers = workers_of(process.pid)
    assert len(workers) == 2
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=30)
    until(lambda: not any(map(alive, workers)))
    if number != signal.SIGKILL:
        assert process.returncode == 130
        *finishing, told = error.splitlines()
        assert finishing in ([], ["mien: finishing what is begun; once more gives it up"])
        assert "; to go on: mien analyze" in told
        assert told.endswith(" --workers 2 --resume")
    assert rows(tmp_path / "all.jsonl.partial") == 5
    assert not list((tmp_path / "marked").glob("*.partial"))
    gate.let_go()
    gate.path.unlink()
    shutil.copy(EXAMPLES / "astronaut.jpg", gate.path)
    done = run("analyze", *paths, *outs)
    assert (done.status, f"{out}.partial: left by an interrupted run; go on with it by --resume" in done.err) == (2, True)
    drawn = (tmp_path / "marked" / paths[0].name).stat().st_mtime_ns
    assert run("analyze", *paths, *outs, "--resume").status == 1  # one is no picture
    assert (tmp_path / "marked" / paths[0].name).stat().st_mtime_ns == drawn
    made = {name: data for name, data in tree(tmp_path).items() if name != "held.jpg"}
    shutil.rmtree(tmp_path / "marked")
    assert run("analyze", *paths, *outs, "--overwrite").status == 1
    assert made == {name: data for name, data in tree(tmp_path).items() if name != "held.jpg"}
    assert sorted(made) == sorted(["all.csv", "all.jsonl", *(f"marked/{path.name}" for path in paths if "7b" not in path.name)])
