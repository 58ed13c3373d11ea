"""An hour of mixed load on `mien serve`, and of a film without an end on `mien analyze`: do they hold?

    python scripts/soak.py --minutes 60 --out soak-output

Both run as anybody would start them, with a client process that sends pictures, films, nonsense and half requests.
Every few seconds it is noted what each process holds. In the end there are samples.json, a chart and a line that says
whether it held; the exit status is 1 where it did not. Ctrl-C ends it early, with a report of what there is.
It needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mien.models.session import cores

import soak_report as report
from soak_load import REST, resting
from soak_material import Endless
from soak_watch import Held, held, size

_MIEN = [sys.executable, "-m", "mien"]
_LOAD = Path(__file__).with_name("soak_load.py")
_STARTING, _ENDING = 120.0, 90.0  # seconds
_KEEP = 60  # seconds for which the server keeps results: what is kept for longer would still grow in the first sixth


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--out", type=Path, default=Path("soak-output"), help="a folder, for the samples and the chart"
    )
    parser.add_argument("--rate", type=float, default=8.0, help="requests a second, beside films and cameras (8)")
    parser.add_argument("--film-rate", type=float, default=0.1, help="films a second that are sent as jobs (0.1)")
    parser.add_argument("--cameras", type=int, default=1, help="that are connected, four frames a second each (1)")
    parser.add_argument("--fps", type=float, default=10.0, help="frames a second of the endless film (10)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two samples (2)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mien-soak-") as work:
        run = _soak(chosen, Path(work))
    told = report.figures(run)
    told |= {"machine": f"{run.cores} cores, {platform.machine()}, {platform.system()} {platform.release()}"}
    told |= {"options": {name: str(value) for name, value in vars(chosen).items() if name != "out"}}
    (chosen.out / "samples.json").write_text(json.dumps(report.document(run, told)) + "\n", "utf-8")
    if run.seconds:
        report.draw(run, told, chosen.out / "soak.svg")
        report.draw(run, told, chosen.out / "soak.png")
    wrong = report.faults(run, told)
    print(json.dumps({name: value for name, value in told.items() if name != "wrong"}, indent=1))
    print(report.verdict(run, told, wrong))
    sys.exit(bool(wrong))


def _soak(chosen: argparse.Namespace, work: Path) -> report.Run:
    """Start all, take samples until the time is over or somebody ends it, and end all."""
    temporary, log, records = work / "temporary", work / "load.jsonl", work / "endless.jsonl"
    temporary.mkdir()
    began = time.monotonic()
    seconds: list[float] = []
    at_rest: list[bool] = []
    sizes: list[float] = []
    samples: dict[str, list[Held]] = {"server": [], "endless film": []}
    endings: list[str] = []
    with _endless() as stream, _Started(work) as started:
        options = ["--port", "0", "--keep", str(_KEEP)]
        server = started.run("server", [*_MIEN, "serve", *options], TMPDIR=str(temporary))
        address = started.told("server", r"http://[\w.:]+")
        film = [*_MIEN, "analyze", stream, "--fps", str(chosen.fps), "--out", str(records)]
        started.run("endless film", film)
        load = [sys.executable, str(_LOAD), address, "--log", str(log), "--rate", str(chosen.rate)]
        load += ["--film-rate", str(chosen.film_rate), "--cameras", str(chosen.cameras), "--seed", str(chosen.seed)]
        started.run("load", load)
        print(
            f"soaking {address} (process {server}) for {chosen.minutes:g} minutes; Ctrl-C ends it early", flush=True
        )
        began = time.monotonic()
        with suppress(KeyboardInterrupt):
            for due in range(1, 1 + round(chosen.minutes * 60 / chosen.every)):
                time.sleep(max(0.0, began + due * chosen.every - time.monotonic()))
                if not started.all_run(endings):
                    break
                now = {name: held(started.pid(name)) for name in samples}
                seconds.append(round(time.monotonic() - began, 2))
                at_rest.append(resting(time.monotonic()) > REST / 2)
                sizes.append(size(temporary))
                for name, sample in now.items():
                    samples[name].append(sample)
        for name, number, status in (
            ("load", signal.SIGTERM, 0),
            ("endless film", signal.SIGINT, 0),
            ("server", signal.SIGTERM, 0),
        ):
            started.end(name, number, status, endings)
        if left := sorted(path.name for path in temporary.iterdir()):
            endings.append(f"the server left {', '.join(left)} in its folder for temporary files")
    answers = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    answers = [answer | {"at": answer["at"] - began} for answer in answers]
    run = report.Run(seconds, at_rest, samples, sizes, answers, cores(), endings, _count(records))
    return run if run.records else replace(run, endings=[*endings, "the endless film has no records"])


def _count(records: Path) -> int:
    if not records.exists():
        return 0
    with records.open("rb") as file:
        return sum(json.loads(line)["error"] is None for line in file)


class _Started:
    """Processes that are running, each with what it says in a file; none is left when the context ends."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> _Started:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def run(self, name: str, command: Sequence[str], **environment: str) -> int:
        """Start a process, which Ctrl-C on the terminal does not reach, and return its number."""
        with (self._work / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ | environment,
                start_new_session=True,
            )
        return self.pid(name)

    def pid(self, name: str) -> int:
        """Return the number of a process."""
        return self._running[name].pid

    def told(self, name: str, pattern: str) -> str:
        """Return what a process says that it is waited for."""
        until = time.monotonic() + _STARTING
        while (found := re.search(pattern, self._log(name))) is None:
            if time.monotonic() > until or self._running[name].poll() is not None:
                sys.exit(f"{name} did not start: {self._log(name)}")
            time.sleep(0.1)
        return found.group()

    def all_run(self, endings: list[str]) -> bool:
        """Return whether all are still there; add to `endings` which are not."""
        for name, process in self._running.items():
            if process.poll() is not None:
                endings.append(f"{name} ended by itself, with {process.returncode}: {self._log(name)[-2000:]}")
        return not endings

    def end(self, name: str, number: signal.Signals, status: int, endings: list[str]) -> None:
        """Ask a process to end, and add to `endings` where it does not, or not as it should."""
        process = self._running.pop(name)
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            endings.append(f"{name} did not end within {_ENDING:g} s")
            process.kill()
            process.wait()
            return
        if process.returncode != status:
            endings.append(f"{name} ended with {process.returncode}: {self._log(name)[-2000:]}")
        elif "Traceback" in self._log(name):
            endings.append(f"{name} told of an error: {self._log(name).partition('Traceback')[2][:2000]}")

    def _log(self, name: str) -> str:
        return (self._work / f"{name}.log").read_text("utf-8", "replace")


@contextmanager
def _endless() -> Iterator[str]:
    """Serve the film without an end, and yield its URL."""
    film = Endless()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            film.write_to(self.wfile)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/film"
        server.shutdown()


if __name__ == "__main__":
    main()
