"""What only a new process shows: the start, the memory, folders on all cores; and the size of the installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

import mien
from benchmarks.clock import Row, row
from benchmarks.pictures import mosaic, write_folder
from benchmarks.plan import Plan
from mien.evaluation.speed import most_memory
from mien.models.session import cores

_MIEN = [sys.executable, "-m", "mien"]


def measure_start(plan: Plan) -> Iterator[Row]:
    """Yield how long `import mien` takes, and `mien analyze` up to its first record."""
    bare = [_until_line([sys.executable, "-c", "print()"]) for _ in range(plan.runs)]
    yield row("start", "Python alone", bare, "ms")
    imports = [_until_line([sys.executable, "-c", "import mien; print()"]) for _ in range(plan.runs)]
    yield row("start", "import mien, with Python", imports, "ms")
    with resources.as_file(resources.files("mien.evaluation") / "face.jpg") as picture:
        firsts = [_until_line([*_MIEN, "analyze", str(picture)]) for _ in range(plan.runs + 1)][1:]
    yield row("start", "mien analyze, to its first record", firsts, "ms")


def _until_line(command: Sequence[str]) -> float:
    """Return the milliseconds until a command prints a line."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:  # noqa: S603
        assert child.stdout is not None
        line = child.stdout.readline()
        elapsed = 1000.0 * (time.perf_counter() - started)
        child.communicate()
    if not line or child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    return elapsed


def measure_folders(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the time of a picture in folders of JPEGs of 640x480 with one face, on all cores, and how busy they were.

    And for each folder the most memory that one process holds which goes through it.
    """
    usage = subprocess.run([*_MIEN, "analyze", "--help"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    workers = ["--workers", str(cores())] if "--workers" in usage else []
    for count in plan.folders:
        pictures = folder / str(count)
        pictures.mkdir()
        write_folder(pictures, count)
        walls, cpus = [], []
        for _ in range(plan.runs):
            command = [*_MIEN, "analyze", str(pictures), "--quiet", "--overwrite", *workers]
            before, started = os.times(), time.perf_counter()
            subprocess.run([*command, "--out", str(folder / "records.jsonl")], check=True)  # noqa: S603
            walls.append(1000.0 * (time.perf_counter() - started) / count)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            cpus.append(1000.0 * cpu / count)
        what = f"a picture of {count}, {cores() if workers else 1} processes, start included"
        measured = row("folder", what, walls, "ms")
        busy = [100.0 * cpu / wall / cores() for cpu, wall in zip(cpus, walls, strict=True)]
        yield replace(measured, cpu=row("", "", cpus, "ms").value, rate=1000.0 / measured.value, faces=1)
        yield row("folder", f"cores busy, {count} pictures", busy, "%")
        if (peak := most_memory(pictures, "embedded")) > 0:
            yield row("memory", f"of a process, {count} pictures", [peak], "MiB")


def measure_memory(plan: Plan) -> Iterator[Row]:
    """Yield the most memory that a process holds which analyses one picture, by its size."""
    for size in plan.sizes:
        with tempfile.TemporaryDirectory(prefix="mien-") as folder:
            picture = Path(folder) / "picture.jpg"
            picture.write_bytes(mosaic(plan.faces[0], size))
            peaks = [most_memory(picture, "embedded") for _ in range(plan.runs)]
        if max(peaks) > 0:
            yield row("memory", f"of a process, one picture of {size[0]}x{size[1]}", peaks, "MiB")


def installed_size() -> Iterator[Row]:
    """Yield the size of the package, and of all that `pip install mien` brings."""
    own = _folder_size(Path(mien.__file__).parent)
    yield row("size", "mien, with its models", [own / 2**20], "MiB")
    try:
        needed = _needed("mien", {"mien"}) - {"mien"}
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return
    others = sum(_distribution_size(name) for name in needed)
    yield row("size", "all that is installed with it", [(own + others) / 2**20], "MiB")


def _needed(name: str, known: set[str]) -> set[str]:
    """Return the names of what a package needs without extras, and what these need."""
    for requirement in metadata.requires(name) or ():
        needed, _, condition = requirement.partition(";")
        needed = re.split(r"[^A-Za-z0-9._-]", needed.strip(), maxsplit=1)[0]
        if condition.strip() or needed in known:  # conditions are extras and other systems
            continue
        try:
            metadata.distribution(needed)
        except metadata.PackageNotFoundError:
            continue
        _needed(needed, known | {needed})
        known |= {needed} | _needed(needed, known | {needed})
    return known


def _distribution_size(name: str) -> int:
    files = metadata.distribution(name).files or ()
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
