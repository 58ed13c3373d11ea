"""One Analyzer in threads, in processes however they begin, and from asyncio: the answers that it gives alone."""

import asyncio
import gc
import itertools
import math
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import mien

from conftest import EXAMPLES, ROOT
from hostile.films import film

THREADS = 16

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of several sizes and forms, with three faces, one, and none, and a film."""
    folder = tmp_path_factory.mktemp("at-once")
    with Image.open(EXAMPLES / "three_people.jpg") as people, Image.open(EXAMPLES / "astronaut.jpg") as one:
        people.resize((480, 270)).save(folder / "a.jpg")
        people.resize((301, 169)).convert("L").save(folder / "b.png")
        one.resize((256, 256)).save(folder / "c.png")
        one.crop((136, 28, 296, 204)).save(folder / "d.webp")
        one.resize((333, 222)).save(folder / "e.bmp")
    Image.fromarray(np.zeros((90, 160, 3), np.uint8)).save(folder / "f.png")
    (folder / "film.mp4").write_bytes(film(frames=8))
    return folder


@pytest.fixture(scope="module")
def pictures(folder):
    return sorted(path for path in folder.iterdir() if path.suffix != ".mp4")


def at_once(works):
    """Do all at the same time, and return what they return."""
    begin = threading.Barrier(len(works))

    def work(one):
        begin.wait()
        return one()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(work, one) for one in works]]


def test_sixteen_threads_get_the_answers_of_one(analyzer, pictures):
    """Of pictures of several sizes, over several sets of emotions: all to the last bit."""
    analyzers = [analyzer, analyzer.restricted("three"), analyzer.restricted("five"), analyzer]
    alone = {
        (number, path): analyzers[number].analyze(path) for number, path in itertools.product(range(4), pictures)
    }
    assert sum(len(result.faces) for result in alone.values()) >= 20

    def work(seed):
        asked = list(alone)
        random.Random(seed).shuffle(asked)
        return [key for key in asked[:6] if analyzers[key[0]].analyze(key[1]) != alone[key]]

    assert at_once([lambda seed=seed: work(seed) for seed in range(THREADS)]) == [[]] * THREADS


@pytest.mark.slow
def test_films_at_once_with_other_settings(folder, analyzer):
    flipped = mien.Analyzer(flip=True, rater="fer2013", threads=2)
    settings = [
        lambda: list(analyzer.stream(folder / "film.mp4")),
        lambda: list(analyzer.stream(folder / "film.mp4", smooth=None, detect_every=0.1)),
        lambda: list(analyzer.restricted("five").stream(folder, fps=6)),
        lambda: list(flipped.stream(folder / "film.mp4")),
        lambda: [next(analyzer.stream(folder / "film.mp4"))],  # left off at once
    ]
    alone = [work() for work in settings]
    assert all(result.error is None for results in alone for result in results)
    which = [number % len(settings) for number in range(THREADS)]
    assert at_once([settings[number] for number in which]) == [alone[number] for number in which]


PROGRAM = """
import multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import mien

paths = sorted(path for path in Path(sys.argv[1]).iterdir() if path.suffix != ".mp4")
film = Path(sys.argv[1], "film.mp4")


def told(analyzer, path):
    return [face.to_record() for face in analyzer.analyze(path).faces]


def ask(path):
    return told(analyzer, path)


def ask_of(analyzer_and_path):
    return told(*analyzer_and_path)


def child(work):
    \"\"\"Return what `work` tells in a fork that ends as a program does, and fail where it hangs or dies.\"\"\"
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        signal.alarm(60)
        os.write(writer, repr(work()).encode())
        sys.exit(0)
    os.close(writer)
    with open(reader) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, (status, said)
    return said


if __name__ == "__main__":
    signal.alarm(240)
    analyzer = mien.Analyzer()
    alone = [ask(path) for path in paths]
    assert sum(map(len, alone)) >= 8
"""


def program(tmp_path, folder, body: str, *, status: int = 0) -> None:
    """Run PROGRAM and then `body`, which may use its names."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM + "".join(f"    {line}\n" for line in body.strip().splitlines()))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (status, "")


@forks
@pytest.mark.slow
@pytest.mark.parametrize("threads", [None, 3])
def test_a_fork_analyses_and_ends_whatever_threads_there_were(tmp_path, folder, threads):
    """onnxruntime's threads stay behind: to use them crashes, and so does to end them."""
    program(
        tmp_path,
        folder,
        f"""
analyzer = mien.Analyzer(threads={threads})
alone = [ask(path) for path in paths]
assert child(lambda: [ask(path) for path in paths]) == repr(alone)
assert child(lambda: child(lambda: ask(paths[0]))) == repr(repr(alone[0]))  # a fork of a fork
assert child(lambda: None) == "None"  # which never analyses
assert [ask(path) for path in paths] == alone
""",
    )


@forks
@pytest.mark.slow
def test_forks_from_the_midst_of_work(tmp_path, folder):
    """Whoever has a lock at that moment is not there to give it back."""
    program(
        tmp_path,
        folder,
        """
stop = threading.Event()
def work():
    while not stop.is_set():
        ask(paths[0])
        list(analyzer.stream(film))
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
said = {child(lambda: ask(paths[0])) for _ in range(8)}
stop.set()
for thread in threads:
    thread.join()
assert said == {repr(alone[0])}
""",
    )


@forks
@pytest.mark.slow
def test_a_stream_stays_with_the_process_that_has_begun_it(tmp_path, folder):
    program(
        tmp_path,
        folder,
        """
def go_on():
    try:
        next(stream)
    except mien.MienError as error:
        return str(error)
whole = list(analyzer.stream(film))
with __import__("contextlib").closing(analyzer.stream(film)) as stream:
    first = next(stream)
    said = child(go_on)
    assert "a fork of it cannot go on with: begin to read in the process that uses it" in said, said
    assert child(lambda: list(analyzer.stream(film)) == whole) == "True"
    assert [first, *stream] == whole
""",
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(tmp_path, folder, start):
    """With an Analyzer that the forked inherit, or that is handed over; both ways into the standard library."""
    if start not in __import__("multiprocessing").get_all_start_methods():
        pytest.skip(f"there is no {start} here")
    inherited = "ask, paths" if start == "fork" else "ask_of, [(analyzer, path) for path in paths]"
    program(
        tmp_path,
        folder,
        f"""
context = multiprocessing.get_context("{start}")
with context.Pool(2) as pool:
    assert pool.map({inherited}) == alone
with ProcessPoolExecutor(2, mp_context=context) as pool:
    assert list(pool.map({inherited})) == alone
""",
    )


@forks
@pytest.mark.slow
def test_a_data_loader_of_torch(tmp_path, folder):
    pytest.importorskip("torch", reason="needs the extra train")
    program(
        tmp_path,
        folder,
        """
from torch.utils.data import DataLoader
loader = DataLoader(paths, batch_size=2, num_workers=2, collate_fn=lambda batch: [ask(path) for path in batch])
assert [faces for batch in loader for faces in batch] == alone
""",
    )


@forks
@pytest.mark.slow
def test_what_computes_elsewhere_is_told_to_be_loaded_in_the_fork(tmp_path, folder):
    program(
        tmp_path,
        folder,
        """
from mien.models import providers
def fails():
    try:
        ask(paths[0])
    except mien.MienError as error:
        return str(error)
analyzer._expressions._classifier._session.device = next(one for one in providers.DEVICES if one.name == "cuda")
said = child(fails)
assert "embedded: what computes on cuda does not survive a fork: load it in the new process" in said, said
""",
    )


def test_many_tasks_of_asyncio_and_some_that_are_cancelled(analyzer, pictures):
    alone = [analyzer.analyze(path) for path in pictures]

    async def ask() -> None:
        tasks = [asyncio.create_task(asyncio.to_thread(analyzer.analyze, path)) for path in 3 * pictures]
        await asyncio.sleep(0.01)
        for task in tasks[::4]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for number, (result, wanted) in enumerate(zip(done, 3 * alone, strict=True)):
            gone = number % 4 == 0 and isinstance(result, asyncio.CancelledError)
            assert gone or result == wanted
        assert sum(isinstance(result, mien.Result) for result in done) >= 12

    asyncio.run(ask())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's /proc")
def test_nothing_is_left_open_and_no_thread(analyzer, folder, pictures, tmp_path):
    """Neither by what works nor by what fails, is left off or forgotten."""
    (tmp_path / "cut.jpg").write_bytes(pictures[0].read_bytes()[:500])
    (tmp_path / "cut.mp4").write_bytes((folder / "film.mp4").read_bytes()[:3000])

    def go() -> None:
        for path in pictures:
            analyzer.analyze(path)
        for bad in (tmp_path / "cut.jpg", tmp_path / "cut.mp4", tmp_path / "nothing.jpg"):
            with pytest.raises(mien.SourceError):
                analyzer.analyze(bad)
        assert len(list(analyzer.stream(tmp_path))) == 2
        assert len(list(analyzer.stream(folder / "film.mp4"))) == 8
        analyzer.analyze((folder / "film.mp4").read_bytes())
        left = analyzer.stream(folder / "film.mp4")
        next(left)
        left.close()
        next(analyzer.stream(folder / "film.mp4"))  # forgotten

    def most(handles: float, threads: float) -> tuple[int, int]:
        """Return how many there are, less the networks' threads, once they are no more than these, or later."""
        end = time.monotonic() + 10
        while True:
            ours = [thread for thread in threading.enumerate() if not thread.name.startswith("mien_")]
            now = len(os.listdir("/proc/self/fd")), len(ours)
            if (now[0] <= handles and now[1] <= threads) or time.monotonic() > end:
                return now
            gc.collect()
            time.sleep(0.02)

    before = most(math.inf, math.inf)
    for _ in range(3):
        go()
    assert most(*before) == before
