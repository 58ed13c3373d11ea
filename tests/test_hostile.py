"""Hundreds of hostile files, each by the library, the command line and the service.

Each ends with results or an error of one line, in bounded time and memory, and the good files beside them are done.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mien.sources.folder import FILM_SUFFIXES, SUFFIXES

import hostile
from conftest import ROOT
from hostile import Case, Ends
from hostile.films import film

SECONDS = 2.0
"""Of computing, up to the next answer. The machine that tests run on may be busy with others, whence BUSY."""
BUSY = 2.0
MEGABYTES = 600
PATIENCE = 1800

LIBTIFF = re.compile(r"(tempfile\.tif|(Fax3|ZIP|ZSTD|LZW|PackBits|Old|O?JPEG|LogLuv|TIFF)\w*): ")
"""What its lines begin with: the name of one of its functions, or that which Pillow gives to every file."""

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
SIZES = [pytest.param("few", id="few"), pytest.param("all", id="all", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SIZES)
def cases(request: pytest.FixtureRequest) -> Sequence[Case]:
    return hostile.few() if request.param == "few" else hostile.corpus()


@pytest.fixture(scope="module")
def folder(cases: Sequence[Case], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "files"
    hostile.write(cases, folder)
    return folder


def test_there_are_enough_of_every_kind():
    assert len(hostile.corpus()) >= 300
    suffixes = {Path(case.name).suffix for case in hostile.corpus()}
    assert suffixes >= {".jpg", ".png", ".gif", ".webp", ".tiff", ".bmp", ".ppm", ".apng", ".avif", ".heic"}
    assert suffixes >= {
        ".mp4",
        ".mov",
        ".mkv",
        ".webm",
        ".ts",
        ".mpg",
        ".avi",
        ".flv",
        ".wmv",
        ".ogv",
        ".y4m",
        ".ivf",
    }
    assert suffixes <= SUFFIXES | FILM_SUFFIXES


def wrong(case: Case, results: int, error: str | None) -> str | None:
    """Return what is wrong with how a case ended, if anything."""
    if error is None:
        if case.ends is Ends.BADLY:
            return f"{case.name}: no error"
        return None if results else f"{case.name}: neither a result nor an error"
    if case.ends is Ends.WELL:
        return error
    if not error.isprintable() or len(error) > 500 or "Traceback" in error or "Error(" in error:
        return f"not one clear line: {error}"
    return None


def test_the_library(cases, folder):
    done = subprocess.run(
        [sys.executable, "-m", "hostile.reading", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=ENVIRONMENT,
    )
    told = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, f"{done.returncode} after {list(told)[-1:]}: {done.stderr[-3000:]}"
    assert not [
        fault for case in cases if (fault := wrong(case, told[case.name]["results"], told[case.name]["error"]))
    ]
    assert not [line for line in told.values() if line["error"] is not None and line["name"] not in line["error"]]
    assert not [line for line in told.values() if line["seconds"] > SECONDS * BUSY or line["megabytes"] > MEGABYTES]
    good = [line for name, line in told.items() if name.startswith("good-")]
    assert good and all(line["faces"] == line["results"] > 0 for line in good), good
    slowest = max(told.values(), key=lambda line: line["seconds"])
    largest = max(told.values(), key=lambda line: line["megabytes"])
    print(f"{len(told)} files; slowest {slowest['seconds']:.2f} s of computing ({slowest['name']}); ", end="")
    print(f"largest {largest['megabytes']} MB ({largest['name']})")


MEASURE = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as told:
    json.dump([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss >> 10], told)
"""


def measured(command: Sequence[object], folder: Path) -> tuple[int, str, str, float, int]:
    """Run a command; return its status, what it printed and said, and the seconds and megabytes that it took.

    What it took is its own and that of its children, memory that of the largest of them. A small process stands
    between it and this one, of which it would have the memory to begin with.
    """
    told = folder / "told"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, told, *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env=ENVIRONMENT,
    )
    status, seconds, megabytes = json.loads(told.read_text())
    return status, done.stdout, done.stderr, seconds, megabytes


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="what one process has taken cannot be told here")
def test_the_command_line(cases, folder, tmp_path):
    out = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "mien", "analyze", folder.parent, "--recursive", "--out", out]
    status, printed, errors, seconds, megabytes = measured(command, tmp_path)
    assert (status, printed) == (1, ""), errors[-3000:]
    records: dict[str, list[dict]] = {}
    for record in map(json.loads, out.read_text().splitlines()):
        records.setdefault(Path(record["source"]).name, []).append(record)
    ends = {name: (len(lines), lines[-1]["error"]) for name, lines in records.items()}
    # what is called .ts and is no transport stream is TypeScript, and passed over in a folder
    cases = [case for case in cases if not (case.name.endswith(".ts") and case.content[:1] != b"G")]
    assert not [fault for case in cases if (fault := wrong(case, *ends[case.name]))]
    good = [record for name, lines in records.items() for record in lines if name.startswith("good-")]
    assert good and all(len(record["faces"]) == 1 for record in good)
    told = [record["error"] for lines in records.values() for record in lines if record["error"] is not None]
    lines = errors.splitlines()
    assert sorted(line for line in lines if line.startswith("mien: ")) == sorted(f"mien: {error}" for error in told)
    # what libtiff says, it writes on standard error itself, and nobody can have it say so elsewhere
    others = [line for line in lines if not line.startswith("mien: ")]
    assert not [line for line in others if LIBTIFF.match(line) is None]
    print(f"{len(cases)} files; {seconds:.0f} s of computing; at most {megabytes} MB")
    assert seconds < SECONDS * len(cases)
    assert megabytes < MEGABYTES


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="what one process has taken cannot be told here")
def test_a_film_far_above_the_limit_is_refused_before_a_frame_of_it_takes_room(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(film(frames=2, size=(8896, 8896), blank=True))
    code = "import sys; from mien.sources import read_picture; read_picture(sys.argv[1])"
    status, _, errors, _, megabytes = measured([sys.executable, "-c", code, path], tmp_path)
    assert status == 1
    assert "8896x8896 is 79 million pixels, over the limit" in errors
    assert megabytes < 150  # one of its frames has 119, and its decoder would hold several


class Service:
    """A running `mien serve`, and what it takes."""

    def __init__(self, process: subprocess.Popen[str], base: str) -> None:
        self.process, self.base = process, base

    @property
    def megabytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10

    @property
    def seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ends(self, client: httpx.Client, case: Case) -> tuple[int, str | None]:
        """Send a file; return how many results came, and the error."""
        return self._film(client, case) if case.is_film else self._picture(client, case)

    def _picture(self, client: httpx.Client, case: Case) -> tuple[int, str | None]:
        # some of these names end as pictures do and are films, of which the service takes the first frame
        answer = client.post("/v1/analyze", files={"files": (case.name, case.content)})
        if answer.status_code == 200:
            (record,) = answer.json()["results"]
            return 1, record["error"]
        return 0, self._problem(answer, 413, 422)

    def _film(self, client: httpx.Client, case: Case) -> tuple[int, str | None]:
        answer = client.post("/v1/videos", params={"annotated": False, "name": case.name}, content=case.content)
        if answer.status_code != 202:
            return 0, self._problem(answer, 400, 413, 422)
        film = answer.json()
        while film["state"] in ("queued", "running"):
            time.sleep(0.01)
            film = client.get(film["links"]["self"]).json()
        assert client.delete(film["links"]["self"]).status_code == 204
        return film["frames"], film["error"]

    def _problem(self, answer: httpx.Response, *expected: int) -> str:
        assert answer.status_code in expected, f"{answer.status_code}: {answer.text[:300]}"
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()["detail"]


@contextmanager
def serving(log: Path) -> Iterator[Service]:
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--no-page"]
    with log.open("w") as errors, subprocess.Popen(command, stderr=errors, text=True, env=ENVIRONMENT) as process:
        try:
            while (address := re.search(r"listening on (http://\S+)", log.read_text())) is None:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield Service(process, address[1])
        finally:
            process.terminate()
            process.wait(60)
            assert "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory and time are read from /proc")
def test_the_service(cases, tmp_path):
    slowest, seconds_of_slowest = "", 0.0
    faults = []
    with serving(tmp_path / "log") as service, httpx.Client(base_url=service.base, timeout=PATIENCE) as client:
        for case in cases:
            before = service.seconds
            results, error = service.ends(client, case)
            seconds = (service.seconds - before) / max(1, results)
            if seconds > seconds_of_slowest:
                slowest, seconds_of_slowest = case.name, seconds
            # its limits are narrower, of what moves it takes the first frame, and pictures are no films to it
            other = (
                case.name.startswith("moving-")
                or "second-frame" in case.name
                or (error and ("limit" in error or "not a film" in error))
            )
            faults.append(wrong(replace(case, ends=Ends.EITHER) if other else case, results, error))
            if seconds > SECONDS * BUSY or service.megabytes > MEGABYTES:
                faults.append(f"{case.name}: {seconds:.2f} s, {service.megabytes} MB")
        assert client.get("/healthz").status_code == 200
        assert not [fault for fault in faults if fault]
        print(f"{len(cases)} files; slowest {slowest}, {seconds_of_slowest:.2f} s of computing; ", end="")
        print(f"at most {service.megabytes} MB")
