"""Killed at random moments, 200 times in all, and gone on with: the old or the whole new file, and nothing left over.

With fewer: MIEN_KILLS=20 tests/test_killed.py. Other moments: MIEN_SEED=2.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mien.evaluation.scenes import write_film

from conftest import EXAMPLES, write_two_shades
from killing import Work, check_nothing_is_left, digests, kill, kill_and_go_on, over, spent, start, told
from webserver import Answer, picture, running_web

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]
SEED = os.environ.get("MIEN_SEED", "1")
SHARE = int(os.environ.get("MIEN_KILLS", "200")) / 200


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Return a folder with photographs of two classes, two films, and a labelled set of faces."""
    root = tmp_path_factory.mktemp("inputs")
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        person = image.convert("RGB").crop((130, 0, 330, 200))
    for label in ("happy", "sad"):
        (root / "photos" / label).mkdir(parents=True)
        for i in range(8):
            side = 140 + 6 * i + (3 if label == "sad" else 0)
            person.rotate(2 * i - 8).resize((side, side)).save(root / "photos" / label / f"{i}.jpg", quality=90)
    Image.new("RGB", (64, 48)).save(root / "photos" / "happy" / "nobody.png")
    (root / "photos" / "sad" / "broken.jpg").write_bytes(b"no picture")
    for name in ("a.mp4", "b.mp4"):
        write_film(root / name, 1, (160, 120), 0.6)
    write_two_shades(root / "set")
    return root


# --- analyze and clean --------------------------------------------------------------------------------------------


def old_records(inputs: Path, out: Path) -> None:
    for name in ("all.jsonl", "all.csv"):
        (out / name).write_text("of last year\n")
    (out / "marked" / "happy").mkdir(parents=True)
    shutil.copy(inputs / "photos" / "happy" / "0.jpg", out / "marked" / "happy" / "0.jpg")


def old_faces(inputs: Path, out: Path) -> None:
    shutil.copytree(inputs / "photos" / "happy", out / "web" / "happy")
    (out / "web" / "sad").mkdir()
    shutil.copy(EXAMPLES / "three_people.jpg", out / "web" / "sad")
    shutil.copytree(inputs / "set", out / "faces")


def cleaned(out: Path) -> Mapping[str, object]:
    """Return what is there, but for what cleaning keeps beside the pictures, in the order of its threads."""
    found = digests(out)
    assert found.pop("web/.cleaning.jsonl")
    return found


def faces_are_whole(out: Path, wanted: Mapping[str, object], old: Mapping[str, str]) -> None:
    """The data set is the old or the new one; between two renames the old one is put aside."""
    places = [out / "faces", *out.glob("faces.partial-*/old")]
    found = [digests(place) for place in places if place.is_dir()]
    sets = [
        {name.removeprefix("faces/"): digest for name, digest in one.items() if name.startswith("faces/")}
        for one in (wanted, old)
    ]
    assert any(one in sets for one in found), "the data set is neither the old nor the new one"
    assert not (out / "faces").exists() or found[0] in sets, "the data set is a part"


def analyze(inputs, out, *names, workers=1, sources=("photos",), more=()):
    outs = [part for name in names for part in ("--out", f"{out}/{name}")]
    found = [inputs / source for source in sources]
    return ["analyze", *found, "-r", "--workers", str(workers), "--resume", "--quiet", *outs, *more]


WORKS = {
    "records": Work(
        20,
        lambda inputs, out: analyze(inputs, out, "all.jsonl", "all.json", "all.csv", "all.parquet"),
        status=1,
    ),
    "workers": Work(
        18,
        lambda inputs, out: analyze(
            inputs, out, "all.jsonl", "all.csv", "all.parquet", "marked/", workers=2, more=["--crops", out / "faces"]
        ),
        status=1,
    ),
    "pictures": Work(
        14, lambda inputs, out: analyze(inputs, out, "marked/", more=["--crops", out / "faces"]), status=1
    ),
    "over old ones": Work(
        10,
        lambda inputs, out: analyze(inputs, out, "all.jsonl", "all.csv", "marked/", more=["--overwrite"]),
        status=1,
        begin=old_records,
    ),
    "a film": Work(10, lambda inputs, out: analyze(inputs, out, "seen.mp4", "seen.jsonl", sources=["a.mp4"])),
    "films": Work(
        8,
        lambda inputs, out: analyze(
            inputs, out, "marked/", "seen.csv", sources=["a.mp4", "photos/sad/0.jpg", "b.mp4"]
        ),
    ),
    "clean": Work(
        20,
        lambda inputs, out: ["clean", out / "web", "--out", out / "faces", "--faces", "all", "--overwrite"],
        begin=old_faces,
        result=cleaned,
        check=faces_are_whole,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKS)
def test_killed_it_ends_as_if_undisturbed(name, inputs, tmp_path):
    kill_and_go_on(WORKS[name], inputs, tmp_path, seed=f"{name} {SEED}", share=SHARE)


# --- collect ------------------------------------------------------------------------------------------------------


@pytest.fixture
def collecting(tmp_path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Yield a file of queries, and what points mien to a web that answers them."""
    with running_web() as web:
        web.page = 7
        urls = []
        for number in range(32):
            answer = Answer(picture(number - number % 5 if number % 11 == 0 else number), wait=(number % 3) * 0.02)
            if number % 9 == 4:
                answer = Answer(status=404)
            urls.append(web.serve(f"/{number}.jpg", answer))
        web.openverse("angry", *urls[:18])
        web.wikimedia("angry", *urls[14:])
        web.openverse("happy", *urls[10:26])
        file = tmp_path / "queries.toml"
        asked = "".join(f'[[query]]\nlabel = "{word}"\nwords = ["{word}"]\n' for word in ("angry", "happy"))
        file.write_text(f'phrases = ["{{word}}"]\nlimit = 14\n{asked}')
        yield file, web.environment


def collected(out: Path) -> Mapping[str, object]:
    """Return what is there; the journal is in the order in which hosts answered."""
    from mien.collect.collection import read_collection

    found: dict[str, object] = dict(digests(out))
    assert found.pop("web/journal.jsonl") and found.pop("web/provenance.jsonl")
    found["lines"] = [(line.label, line.url, line.sha256, line.provider) for line in read_collection(out / "web")]
    return found


def pictures_are_whole(out: Path, wanted: Mapping[str, object], old: Mapping[str, str]) -> None:
    from mien.collect.collection import read_collection

    for name, digest in digests(out).items():
        assert "/pictures/" not in name or ".partial" in name or digest in ("/", Path(name).stem), name
    if (out / "web" / "provenance.jsonl").exists():
        read_collection(out / "web")


def test_a_collection_that_is_killed_ends_as_if_undisturbed(collecting, inputs, tmp_path):
    pytest.importorskip("httpx", reason="needs the extra collect")
    queries, environment = collecting
    fast = ["--allow-private", "--delay", "0", "--concurrency", "6", "--per-host", "4"]
    work = Work(
        40,
        lambda inputs, out: ["collect", queries, "--out", out / "web", *fast],
        result=collected,
        check=pictures_are_whole,
        environment=environment,
    )
    kill_and_go_on(work, inputs, tmp_path, seed=f"collect {SEED}", share=SHARE)


# --- train --------------------------------------------------------------------------------------------------------


def train(inputs: Path, out: Path) -> list[str | Path]:
    """Return what a user would do next: the message says so where there is nothing to resume yet."""
    command: list[str | Path] = ["train", "embedded", "--data", inputs / "set", "--run", out / "run"]
    if (out / "run" / "checkpoints" / "last.ckpt").exists():
        return [*command, "--resume"]
    changes = ("epochs=3", "batch_size=16", "stem=8", "widths=[8, 16]", "blocks=[1, 1]", "precision=32-true")
    return [*command, *(word for change in changes for word in ("--set", change))]


def trained(out: Path) -> Mapping[str, object]:
    """Return the weights, the figures of each epoch without its seconds, and the names of all files but the logs."""
    import torch

    run = out / "run"
    found: dict[str, object] = {name: None for name in digests(out) if not name.startswith("run/logs")}
    for name in ("last", "best"):
        state = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        found[name] = {key: value.numpy().tobytes() for key, value in state.items()}
    with (run / "metrics.csv").open(newline="") as file:
        found["metrics"] = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    return found


def run_is_whole(out: Path, wanted: Mapping[str, object], old: Mapping[str, str]) -> None:
    import torch

    run = out / "run"
    for path in run.glob("checkpoints/*.ckpt"):
        torch.load(path, weights_only=True)
    for path in run.glob("*.png"):
        with Image.open(path) as image:
            image.load()
    if (run / "run.json").exists():
        json.loads((run / "run.json").read_text())


def test_a_training_that_is_killed_ends_as_if_undisturbed(inputs, tmp_path):
    pytest.importorskip("lightning", reason="training is an extra: pip install 'mien[train]'")
    work = Work(20, train, result=trained, check=run_is_whole, environment={"OMP_NUM_THREADS": "1"})
    kill_and_go_on(work, inputs, tmp_path, seed=f"train {SEED}", share=SHARE)


# --- serve --------------------------------------------------------------------------------------------------------


def address(process, room: Path) -> str:
    """Wait until a server listens, and return where."""
    while (found := re.search(r"listening on (http://[\w.:]+)", told(room))) is None:
        assert not over(process), told(room)
        time.sleep(0.01)
    return found[1]


def analysed(base: str, film: Path) -> list[bytes]:
    """Send a film, wait for it, and return what came of it."""
    import httpx

    with httpx.Client(base_url=base, timeout=120) as client, film.open("rb") as file:
        job = client.post("/v1/videos", files={"file": (film.name, file)}).headers["location"]
        while client.get(job).json()["state"] in ("queued", "running"):
            time.sleep(0.02)
        links = client.get(job).json()["links"]
        return [client.get(links[name]).content for name in ("results", "results.csv", "annotated", "summary")]


def test_a_server_that_is_killed_leaves_nothing_to_the_next(inputs, tmp_path):
    """Of its films nothing stays, as it says; the next one sweeps its folder, and answers as if nothing had been."""
    httpx = pytest.importorskip("httpx", reason="needs the extra collect")
    pytest.importorskip("fastapi", reason="needs the extra serve")
    chance, film = random.Random(f"serve {SEED}"), inputs / "a.mp4"
    wanted: list[bytes] = []
    seconds, kills = 0.0, max(1, round(20 * SHARE))

    def ask(process) -> None:
        with suppress(httpx.HTTPError, AssertionError):  # it is killed meanwhile
            analysed(address(process, tmp_path), film)

    for number in range(kills + 2):
        page = number % 10 == 9
        process = start(["serve", "--port", "0", *([] if page else ["--no-page"])], room=tmp_path)
        if 0 < number <= kills:
            moment = chance.uniform(0, seconds)
            asking = threading.Thread(target=ask, args=(process,))
            asking.start()
            while asking.is_alive() and spent(process) < moment:
                time.sleep(0.005)
            assert not over(process), told(tmp_path)
            kill(process)
            asking.join()
            assert process.wait() == -signal.SIGKILL
            assert "Traceback" not in told(tmp_path)
            continue
        base = address(process, tmp_path)
        assert len(list((tmp_path / "tmp").iterdir())) == 1, "its own folder, and none of those before it"
        found = analysed(base, film)
        wanted = wanted or found
        assert found == wanted
        seconds = spent(process)
        process.terminate()
        assert process.wait() == 0
        check_nothing_is_left(tmp_path)


# --- Ray ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_ray(inputs, tmp_path):
    """Return a command whose tasks are some pictures and films, and what it runs in; Ray's own files go with it."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'mien[ray]'")
    listed = tmp_path / "list.txt"
    names = [inputs / "photos" / "happy" / f"{n % 8}.jpg" for n in range(100)]
    listed.write_text("".join(f"{name}\n" for name in [*names, *([inputs / "a.mp4", inputs / "b.mp4"] * 3)]))
    with tempfile.TemporaryDirectory(prefix="mien-ray-", ignore_cleanup_errors=True) as short:  # a path of sockets
        yield (
            lambda inputs, out: ["analyze", "--list", listed, "--engine", "ray", "--out", out / "all.parquet", "-q"],
            {"RAY_TMPDIR": short, "TMPDIR": short},
        )
        wait_for_end_of(short)


def ray_processes(place: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(place in word for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for_end_of(place: str) -> None:
    end = time.monotonic() + 120
    while left := ray_processes(place):
        assert time.monotonic() < end, f"Ray goes on: {left}"
        time.sleep(0.2)


def tabled(out: Path) -> Mapping[str, object]:
    """Return the rows, and the names of all files."""
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(str(out / "all.parquet")).to_pylist()
    return {"rows": [{**row} for row in rows], "files": sorted(digests(out))}


def parts_are_whole(out: Path, wanted: Mapping[str, object], old: Mapping[str, str]) -> None:
    for path in out.glob("all.parquet/part-*"):
        pyarrow = pytest.importorskip("pyarrow.parquet")
        assert pyarrow.read_table(str(path)).to_pylist() == wanted["rows"]


def test_a_driver_of_ray_that_is_killed_goes_on(on_ray, inputs, tmp_path):
    command, environment = on_ray
    work = Work(
        10, command, result=tabled, check=parts_are_whole, environment=environment, by_files=True, chain=4,
        after=lambda: wait_for_end_of(environment["RAY_TMPDIR"]),
    )  # fmt: skip
    kill_and_go_on(work, inputs, tmp_path, seed=f"ray {SEED}", share=SHARE)


def test_workers_of_ray_that_are_killed_change_nothing(on_ray, inputs, tmp_path):
    command, environment = on_ray
    chance, out = random.Random(f"actors {SEED}"), tmp_path / "out"
    wanted: Mapping[str, object] | None = None
    killed, kills = 0, max(1, round(10 * SHARE))
    while wanted is None or killed < kills:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        process = start(command(inputs, out), room=tmp_path, environment=environment)
        here = 0
        while not over(process):
            time.sleep(chance.uniform(0.1, 0.5))
            for one in ray_actors(process) if wanted is not None and here < 3 and killed < kills else []:
                if chance.random() < 0.3:
                    one.send_signal(signal.SIGKILL)
                    here, killed = here + 1, killed + 1
                    break
        assert process.wait() == 0, told(tmp_path)
        found = tabled(out)
        wanted = wanted or found
        assert found == wanted


def ray_actors(driver) -> list[psutil.Process]:
    """Return the processes that analyse."""
    with suppress(psutil.Error):
        return [
            process
            for process in psutil.Process(driver.pid).children(recursive=True)
            if "MapWorker" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
        ]
    return []
