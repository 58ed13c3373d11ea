"""Runs of mien that are killed at chosen moments, with all their processes, as by a power cut."""

from __future__ import annotations

import hashlib
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

AXE = Path(__file__).parent / "axe"
_GLANCE = 0.005  # seconds between two looks at the clock


@dataclass(frozen=True)
class Moment:
    """When the axe falls: at a step on the disk, after seconds of computing, or once so many files are there."""

    step: int = 0
    seconds: float = math.inf
    files: float = math.inf


NEVER = Moment()


@dataclass(frozen=True)
class Ended:
    """How a run ended, with what it told; `steps`, `files` and `seconds` are as those of a moment."""

    status: int
    steps: int
    files: int
    seconds: float
    told: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


def start(
    arguments: Sequence[str | Path], *, room: Path, step: int = 0, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `mien` in a group of its own.

    Args:
        arguments: of mien.
        room: a folder: the steps in room/out are counted, temporary files go to room/tmp, what is told to room/told.
        step: at which all of the group is killed.
        environment: what else stands in it.

    """
    (room / "steps").unlink(missing_ok=True)
    (room / "tmp").mkdir(exist_ok=True)
    axe = {
        "PYTHONPATH": os.pathsep.join([str(AXE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "MIEN_AXE_WATCHED": str(room / "out"),
        "MIEN_AXE_STEPS": str(room / "steps"),
        "MIEN_AXE_FALLS": str(step),
        "TMPDIR": str(room / "tmp"),
    }
    with (room / "told").open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "mien", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **axe, **(environment or {})},
            start_new_session=True,
        )  # fmt: skip


def strike(
    arguments: Sequence[str | Path],
    moment: Moment,
    *,
    room: Path,
    environment: Mapping[str, str] | None = None,
    limit: float = 600.0,
) -> Ended:
    """Run `mien` as `start` does, and kill all of its group at a moment; a run of `limit` seconds hangs."""
    process = start(arguments, room=room, step=moment.step, environment=environment)
    seconds, files, end = 0.0, 0, time.monotonic() + limit
    while not over(process):
        seconds = spent(process)
        files = max(files, sum(len(found) + len(folders) for _, folders, found in os.walk(room / "out")))
        late = time.monotonic() > end
        if late or seconds >= moment.seconds or files >= moment.files:
            kill(process)
            assert not late, f"hangs: {told(room)}"
        time.sleep(_GLANCE)
    status = process.wait()
    _wait_for_group(process.pid)
    steps = (room / "steps").stat().st_size if (room / "steps").exists() else 0
    return Ended(status, steps, files, seconds, told(room))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all of its group."""
    os.killpg(process.pid, signal.SIGKILL)


def told(room: Path) -> str:
    """Return what a run has said."""
    return (room / "told").read_text(errors="replace")


def spent(process: subprocess.Popen[bytes]) -> float:
    """Return how many seconds a process has computed."""
    user, system = _stat(process.pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def over(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process has ended; until somebody waits for it, its number is not given to another."""
    return _stat(process.pid)[0] == "Z"


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _wait_for_group(group: int) -> None:
    """Wait for the last of a group that was killed: until it is gone, it may hold a lock."""
    end = time.monotonic() + 30
    while time.monotonic() < end and any(_is_of(path, group) for path in Path("/proc").glob("[0-9]*")):
        time.sleep(_GLANCE)


def _is_of(path: Path, group: int) -> bool:
    try:
        state, _, found = _stat(int(path.name))[:3]
    except OSError:
        return False
    return int(found) == group and state != "Z"


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file, by its path, and of each folder that is empty."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "/"
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def whole(out: Path, wanted: Mapping[str, str], old: Mapping[str, str]) -> None:
    """Check that each file which has its final name is the whole new one, or the old one."""
    for name, digest in digests(out).items():
        assert ".partial" in name or digest == "/" or digest in (wanted.get(name), old.get(name)), name


@dataclass(frozen=True)
class Work:
    """A command that is killed, and what is expected of it.

    Attributes:
        kills: how many times it is killed in all.
        command: its arguments, given the inputs and the folder for outputs, as they are now.
        status: with which it ends when it is left alone.
        begin: puts into a folder for outputs what is there before.
        result: what is compared, by name; also says whether something is left that should not be.
        check: looks at what is there after a kill, given the undisturbed result and what `begin` gives.
        chain: kills of one run before it is left alone.
        environment: of the command.
        by_files: its steps are not seen, since they are not taken in Python, but the files that are there.
        after: waits for what goes on after a kill.

    """

    kills: int
    command: Callable[[Path, Path], list[str | Path]]
    status: int = 0
    begin: Callable[[Path, Path], None] = lambda inputs, out: None
    result: Callable[[Path], Mapping[str, object]] = digests
    check: Callable[[Path, Mapping[str, object], Mapping[str, str]], None] = whole  # type: ignore[assignment]
    chain: int = 6
    environment: Mapping[str, str] = field(default_factory=dict)
    by_files: bool = False
    after: Callable[[], None] = lambda: None


def kill_and_go_on(work: Work, inputs: Path, room: Path, *, seed: str, share: float = 1.0) -> int:
    """Kill a work again and again, each time going on with it, until it is whole; return how many runs were made.

    About every second moment is a step on the disk, the others are seconds of computing; both are spread evenly over
    what the undisturbed run takes. What is done again after an error by `seed` falls at the same steps.
    `share` is how many of the kills are done.
    """
    chance = random.Random(seed)
    out, kills = room / "out", max(1, round(work.kills * share))

    def begin() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        work.begin(inputs, out)

    def run(moment: Moment) -> Ended:
        ended = strike(work.command(inputs, out), moment, room=room, environment=work.environment)
        work.after()
        return ended

    begin()
    old = digests(out)
    usual = run(NEVER)
    assert usual.status == work.status, usual.told
    wanted = work.result(out)
    check_nothing_is_left(room)
    killed = runs = 0
    while killed < kills:
        begin()
        story: list[tuple[Moment, int]] = []
        for _ in range(work.chain):
            if chance.random() < 0.5:
                moment = Moment(seconds=chance.uniform(0, usual.seconds))
            elif work.by_files:
                moment = Moment(files=chance.randint(1, usual.files))
            else:
                moment = Moment(step=chance.randint(1, usual.steps))
            ended = run(moment)
            runs += 1
            story.append((moment, ended.status))
            known = f"{seed}: after {story}: {ended.told}"
            if not ended.killed:
                break
            killed += 1
            try:
                work.check(out, wanted, old)
            except AssertionError as error:
                raise AssertionError(f"{error}; {known}") from error
            if killed == kills:
                break
        if ended.killed:
            ended = run(NEVER)
            runs += 1
            known = f"{seed}: after {story}: {ended.told}"
        # a kill may have come when all was done, and then nothing is gone on with
        if story[0][1] != -signal.SIGKILL or "it exists already" not in ended.told:
            assert ended.status == work.status, known
        assert "Traceback" not in ended.told, known
        assert work.result(out) == wanted, known
        check_nothing_is_left(room)
    print(f"{seed}: {killed} kills, {runs} runs, {usual.steps} steps and {usual.seconds:.2f} s undisturbed")
    return runs


def check_nothing_is_left(room: Path) -> None:
    """Check that no temporary files are there."""
    left = [path.name for path in (room / "tmp").iterdir()]
    assert not left, f"among the temporary files: {left}"
