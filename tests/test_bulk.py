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
from mien.bulk.pool import Pool
from mien.bulk.task import Input, Settings
from mien.cli import listing, telling
from mien.cli.progress import Progress
from mien.evaluation.scenes import write_film
from mien.results import Result
from mien.sources import WHOLE, walk_pictures
from mien.sources import folder as walking

from conftest import EXAMPLES

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

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
    ours, theirs = ([json.loads(line) for line in made["all.jsonl"].decode().splitlines()] for made in (one, two))
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


@pytest.mark.slow
def test_an_input_that_comes_again_is_not_drawn_by_two_at_once(pictures, tmp_path):
    drawing = Drawing(outs=(tmp_path / "marked",), checked=True)
    with pool([of(pictures / "00.jpg")] * 30, workers=2, drawing=drawing) as steps:
        results = [step.result for step in steps if step.result is not None]
    assert len(results) == 30
    assert [path.name for path in (tmp_path / "marked").iterdir()] == ["00.jpg"]


@needs_linux
@pytest.mark.parametrize("deaths", [pytest.param(1, marks=pytest.mark.slow), 2])
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
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
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
    assert (done.status, f"{out}.partial: left by an interrupted run; go on with it by --resume" in done.err) == (
        2,
        True,
    )
    drawn = (tmp_path / "marked" / paths[0].name).stat().st_mtime_ns
    assert run("analyze", *paths, *outs, "--resume").status == 1  # one is no picture
    assert (tmp_path / "marked" / paths[0].name).stat().st_mtime_ns == drawn
    made = {name: data for name, data in tree(tmp_path).items() if name != "held.jpg"}
    shutil.rmtree(tmp_path / "marked")
    assert run("analyze", *paths, *outs, "--overwrite").status == 1
    assert made == {name: data for name, data in tree(tmp_path).items() if name != "held.jpg"}
    assert sorted(made) == sorted(
        ["all.csv", "all.jsonl", *(f"marked/{path.name}" for path in paths if "7b" not in path.name)]
    )


# --- killed and continued -----------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
import mien.bulk.journal, mien.sinks.records, mien.whole
from mien.cli import main
where, sys.argv = sys.argv[1], ["mien", *sys.argv[2:]]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
Records, Journal, Partial = mien.sinks.records.Records, mien.bulk.journal.Journal, mien.whole.Partial
append, line, promote = Records._append, Journal._line, Partial.promote
calls = 0
def half_a_record(self, text):
    global calls
    calls += 1
    if calls == 9:  # the third input, in the third of three outputs
        self._stream.write(text[: len(text) // 2])
        self._stream.flush()
        die()
    append(self, text)
def half_a_mark(self, value):
    global calls
    calls += 1
    if calls == 4 and isinstance(value, list):
        self._file.write(b"[7,1")
        self._file.flush()
        die()
    line(self, value)
def between_two_outputs(self, text):
    global calls
    append(self, text)
    calls += 1
    if calls == 10:
        die()
def before_the_first(self, value):
    line(self, value)
    die()
def after_a_mark(self, value):
    global calls
    line(self, value)
    calls += 1
    if calls == 3:
        die()
def between_two_names(self):
    global calls
    promote(self)
    calls += 1
    if calls == 2:
        die()
if where in ("half_a_record", "between_two_outputs"):
    Records._append = globals()[where]
elif where == "between_two_names":
    Partial.promote = between_two_names
else:
    Journal._line = globals()[where]
main()
"""
MOMENTS = [
    "before_the_first",
    "half_a_record",
    "half_a_mark",
    "between_two_outputs",
    "between_two_names",
]


def test_a_run_killed_at_every_kind_of_moment_ends_as_if_undisturbed(run, pictures, tmp_path):
    """One after the other: each run goes on where the one before it was killed."""
    arguments = [pictures, "-r", "--detector", "none", "--resume", "--quiet"]
    names = ("all.jsonl", "all.csv", "all.json")

    def outs(folder: Path) -> list[str]:
        return [part for name in names for part in ("--out", str(folder / name))]

    assert run("analyze", *arguments, *outs(tmp_path / "whole")).status == 1
    reached = []
    for moment in MOMENTS:
        process = subprocess.run(
            [sys.executable, "-c", KILLED, moment, *command(*arguments, *outs(tmp_path / "cut"))[3:]], check=False
        )
        assert process.returncode == -signal.SIGKILL, moment
        reached.append(rows(tmp_path / "cut" / "all.jsonl.partial"))
    assert reached[0] == 0 and reached == [*sorted(reached[:-1]), 0]  # the last time it has its name already
    done = run("analyze", *arguments, *outs(tmp_path / "cut"))
    assert (done.status, done.err) == (1, "")  # a failure before is not forgotten, nor told again
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_again_and_again_ends_as_if_undisturbed(run, pictures, tmp_path, workers):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in walk_pictures(pictures, recursive=True)) * 80)
    chance = random.Random(workers)
    options = ["--list", listed, "--detector", "none", "--workers", workers, "--resume", "--quiet"]

    def outs(folder: Path) -> list[object]:
        return [part for name in ("all.jsonl", "all.csv", "all.parquet") for part in ("--out", folder / name)]

    assert run("analyze", *options, *outs(tmp_path / "whole")).status == 1
    killed = 0
    for _ in range(25):
        process = subprocess.Popen(command(*options, *outs(tmp_path / "cut")), stderr=subprocess.DEVNULL)
        before, more = rows(tmp_path / "cut" / "all.jsonl.partial"), chance.randrange(40)
        until(
            lambda process=process, most=before + more: (
                process.poll() is not None or rows(tmp_path / "cut" / "all.jsonl.partial") >= most
            )
        )
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed == 25
    assert run("analyze", *options, *outs(tmp_path / "cut")).status == 1
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


@pytest.fixture
def interrupted(pictures, tmp_path):
    """Return what an interrupted run was told, and its output."""
    out = tmp_path / "all.jsonl"
    told = ["analyze", pictures, "--detector", "none", "--out", out]
    process = subprocess.run([sys.executable, "-c", KILLED, "after_a_mark", *map(str, told)], check=False)
    assert process.returncode == -signal.SIGKILL
    return told


def test_another_run_does_not_go_on_with_it(run, pictures, interrupted, tmp_path):
    left = tmp_path / "all.jsonl.partial"
    before = left.read_bytes()
    journal = f"mien: {left}.run: the interrupted run "
    for more, reason in (
        (["--flip"], "was made with another flip (false, now true); "),
        (["--rater", "fer2013"], 'was made with another rater (null, now "fer2013"); '),
        (["-r"], "was made with another recursive (false, now true); "),
        ([EXAMPLES / "astronaut.jpg"], "was made with another SOURCE ("),
    ):
        done = run(*interrupted, *more, "--resume")
        assert (done.status, done.err.startswith(journal + reason), done.err.count("\n")) == (2, True, 1), done.err
    new = pictures / "000.jpg"
    shutil.copy(EXAMPLES / "astronaut.jpg", new)
    try:
        done = run(*interrupted, "--resume")
    finally:
        new.unlink()
    assert (done.status, done.err.startswith(journal + "had other inputs: ")) == (2, True)
    assert left.read_bytes() == before
    if fcntl is not None:
        with (tmp_path / "all.jsonl.partial.run").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            done = run(*interrupted, "--resume")
        assert (done.status, "another run is writing these outputs" in done.err) == (2, True)
    done = run(*interrupted)
    assert (done.status, done.err) == (
        2,
        f"mien: {left}: left by an interrupted run; go on with it by --resume, or pass --overwrite\n",
    )
    shutil.move(f"{left}.run", tmp_path / "elsewhere")
    done = run(*interrupted, "--resume")
    assert (done.status, "left by an interrupted run that cannot be continued" in done.err) == (2, True)
    assert run(*interrupted, "--overwrite").status == 1
    assert not left.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--resume"], "--resume goes on with files"),
        (["--resume", "--out", "-"], "--resume goes on with files"),
        (["--workers", "0", "--out", "-"], "--workers is 0"),
        (["--workers", "2", "camera:0"], "--workers shares out files"),
        (["--list", "nowhere.txt"], "--list nowhere.txt: it cannot be read"),
    ],
)
def test_options_that_make_no_sense(run, astronaut, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    done = run("analyze", astronaut, *arguments)
    assert (done.status, reason in done.err, done.err.count("\n")) == (2, True, 1)
    assert not list(tmp_path.iterdir())


def test_films_go_on_with_the_next_film(run, pictures, tmp_path):
    """Of a film that was being analysed nothing is kept: its people have numbers from its beginning on."""
    for name in ("a.mp4", "b.mp4"):
        write_film(tmp_path / name, 1, (160, 120), 1)
    inputs = [tmp_path / "a.mp4", pictures / "00.jpg", tmp_path / "b.mp4"]
    outs = ["--out", tmp_path / "all.csv", "--out", tmp_path / "marked/"]
    process = subprocess.Popen(command(*inputs, *outs))
    until(lambda: rows(tmp_path / "all.csv.partial") > 30)  # a head, 25 frames, a picture, and some of the last film
    process.kill()
    process.wait()
    whole = (tmp_path / "marked" / "a.mp4").stat().st_mtime_ns
    assert run("analyze", *inputs, *outs, "--resume").status == 0
    assert (tmp_path / "marked" / "a.mp4").stat().st_mtime_ns == whole
    cut = (tmp_path / "all.csv").read_bytes()
    assert sorted(tree(tmp_path / "marked")) == ["00.jpg", "a.mp4", "b.mp4"]
    assert run("analyze", *inputs, *outs, "--overwrite").status == 0
    assert (tmp_path / "all.csv").read_bytes() == cut


def test_whole_copies_are_kept(run, pictures, tmp_path):
    """Killed as the third mark was written, when the third copy was whole."""
    told = [
        "analyze",
        pictures,
        "--detector",
        "none",
        "--quiet",
        "--out",
        tmp_path / "marked/",
        "--crops",
        tmp_path / "faces",
    ]
    process = subprocess.run([sys.executable, "-c", KILLED, "half_a_mark", *map(str, told)], check=False)
    assert process.returncode == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*g")}
    assert sorted(path.name for path in made) == [name for n in range(3) for name in (f"0{n}.jpg", f"0{n}.jpg-1.png")]
    done = run(*told)
    assert (done.status, "mien.partial.run: left by an interrupted run; go on with it by --resume" in done.err) == (
        2,
        True,
    )
    assert run(*told, "--resume").status == 1
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(tree(tmp_path / "marked")) == len(tree(tmp_path / "faces")) == 13


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.3])
def test_ctrl_c_while_workers_start_is_one_line(pictures, tmp_path, seconds):
    """They have loaded some of what they need, and Python's own answer to Ctrl-C is a traceback."""
    told = command(pictures, "--workers", 2, "--out", tmp_path / "all.jsonl")
    process = subprocess.Popen(told, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: len(workers_of(process.pid)) == 2)
    workers = workers_of(process.pid)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("mien: interrupted")
    assert "Traceback" not in error
    until(lambda: not any(map(alive, workers)))


def test_parquet_is_made_at_the_end_where_a_run_may_go_on(run, pictures, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    options = ["--detector", "none", "--quiet", "--out"]
    assert run("analyze", pictures, *options, tmp_path / "plain.parquet").status == 1
    out = tmp_path / "all.parquet"
    told = ["analyze", pictures, *options, out, "--resume"]
    process = subprocess.run([sys.executable, "-c", KILLED, "half_a_mark", *map(str, told)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert rows(tmp_path / "all.parquet.jsonl.partial") == 3
    assert run(*told).status == 1
    assert parquet.read_table(out) == parquet.read_table(tmp_path / "plain.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "plain.parquet"]


# --- lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_paths_in_a_list(tmp_path, monkeypatch, end, chunk):
    if end == b"\0" and chunk < 7:
        return  # what comes first says what stands between them
    monkeypatch.setattr(listing, "_CHUNK", chunk)
    paths = ["ab", " a b.jpg ", "c/d\udcff.png", *(["two\nlines"] if end == b"\0" else []), "/x"]
    for last in (b"", end, end * 3):
        (tmp_path / "list").write_bytes(
            b"\xef\xbb\xbf"[: 3 * (chunk > 3)] + (end * 2).join(map(os.fsencode, paths)) + last
        )
        assert list(listing.read_list(str(tmp_path / "list"))) == paths


def test_a_list_from_a_pipe_names_what_the_command_line_could(pictures, tmp_path):
    odd = tmp_path / "of two\nlines.jpg"
    shutil.copy(pictures / "00.jpg", odd)
    paths = [pictures / "00.jpg", odd, pictures / "more"]
    marked = tmp_path / "marked"
    listed = b"".join(os.fsencode(path) + b"\0" for path in paths)
    done = subprocess.run(
        command("--list", "-", "--out", "-", "--out", marked, "--detector", "none"),
        input=listed, capture_output=True, check=True,
    )  # fmt: skip
    sources = [json.loads(line)["source"] for line in done.stdout.splitlines()]
    assert sources == [*map(str, paths[:2]), *(str(path) for path in walk_pictures(pictures / "more"))]
    drawn = [str(marked / source.removeprefix("/")) for source in sources]  # in the trees they come in
    assert sorted(str(path) for path in marked.rglob("*.jpg")) == sorted(drawn)


@needs_linux
def test_a_list_is_read_as_it_comes(pictures):
    told = command("--list", "-", "--out", "-", "--detector", "none", "--workers", 1)
    process = subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(f"{pictures / '00.jpg'}\n".encode() * 101)
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["source"] == str(pictures / "00.jpg")  # and the list has not ended
    process.stdin.close()
    with process.stdout as rest:
        assert rest.read().count(b"\n") == 100
    assert process.wait() == 0


def test_the_table_of_many_pictures_is_cut(capsys, monkeypatch):
    monkeypatch.setattr(telling, "_MOST", 2)
    shown = telling.Telling(Progress(None, WHOLE, shown=False), table=True, summary=False, verbose=False)
    for number in range(5):
        shown.begin()
        shown.add(Result(f"{number}.jpg", 0, None, 8, 8, "model"))
    shown.end(piped=False)
    out = capsys.readouterr().out
    assert "1.jpg" in out and "2.jpg" not in out
    assert "and 3 more pictures; for all of them name a file, such as --out faces.csv" in out


# --- memory -------------------------------------------------------------------------------------------------------


def test_folders_are_read_in_the_order_of_names_a_part_at_a_time(tmp_path, monkeypatch):
    chance = random.Random(3)
    wanted = []
    for folder in ("", "b", "b/a", "c"):
        (tmp_path / folder).mkdir(exist_ok=True)
        names = sorted({f"{chance.randrange(10**6)}.jpg" for _ in range(100)})
        wanted += [tmp_path / folder / name for name in names]
        for name in chance.sample(names, len(names)):
            (tmp_path / folder / name).touch()
    monkeypatch.setattr(walking, "_HELD", 7)
    assert list(walk_pictures(tmp_path, recursive=True)) == wanted


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_the_number_of_inputs(tmp_path, workers):
    """Of inputs that are not there, which come to a record each all the same."""

    def peak(count: int) -> int:
        listed = "".join(f"{tmp_path}/nowhere/{number:06}.jpg\n" for number in range(count))
        (tmp_path / "list.txt").write_text(listed)
        options = ["--list", tmp_path / "list.txt", "--detector", "none", "--workers", workers, "--overwrite"]
        process = subprocess.Popen(
            command(*options, "--out", tmp_path / "all.jsonl", "--out", tmp_path / "marked/"),
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 1
        assert rows(tmp_path / "all.jsonl") == count
        return usage.ru_maxrss // 1024

    assert peak(40_000) - peak(2_000) < 10  # MB
