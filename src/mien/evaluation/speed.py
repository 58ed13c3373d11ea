"""How fast mien is on this machine, and how much memory it takes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import mien
from mien.analyzer import Analyzer
from mien.classifier import open_classifier
from mien.detectors import open_detector
from mien.errors import MienError, SourceError
from mien.evaluation.scenes import GRIDS, scene, write_film
from mien.models.session import chosen_device, cores, runtime
from mien.results import Frame
from mien.sources import open_media

BATCHES = (1, 32, 256)
FILMS = {"640x360": (1, (640, 360), 20.0), "1920x1080": (6, (1920, 1080), 6.0)}
"""Faces, width and height, and seconds of the films that are made to measure on."""
_FILM_RUNS = 5
_LONG = {"1 minute": 1, "10 minutes": 10}
"""Minutes of the films of 1280x720 whose memory is compared."""
_COLD_RUNS = 3
_CHILD = """
import sys
import mien
for _ in mien.Analyzer(model=sys.argv[2], device=sys.argv[3]).stream(sys.argv[1]):
    pass
try:  # not getrusage: on Linux its maximum takes in the process that started this one
    with open("/proc/self/status") as file:
        print(next(line for line in file if line.startswith("VmHWM")).split()[1])
except OSError:
    print(0)
"""
"""Prints the most memory that it held, in KiB; 0 where the system does not tell."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured.

    Attributes:
        kind: `detector`, `classifier`, `picture`, `film`, `cold start` or `memory`.
        what: in words.
        faces: found in the picture, classified at once, or at a time in the film; None where that is not the point.
        value: the median of the runs.
        least, most: of the runs.
        unit: `ms` or `MiB`.
        runs: how many.
        rate: faces, pictures or frames a second; None where that makes no sense.

    """

    kind: str
    what: str
    faces: int | None
    value: float
    least: float
    most: float
    unit: str
    runs: int
    rate: float | None = None


def measure(
    *, model: str, files: Sequence[Path] = (), runs: int = 20, memory: bool = False, device: str = "cpu"
) -> Iterator[Figure]:
    """Yield the figures one by one: detector, classifier, whole pictures, films, cold start, memory.

    Args:
        model: of expressions.
        files: pictures and films to measure whole analyses of, instead of scenes with 1, 6 and 30 faces and films.
        runs: of each, after one that does not count; of films at most five, and of new processes three.
        memory: also measure that of films of 1 and 10 minutes, which takes several minutes.
        device: what networks are computed on.

    Raises:
        ModelError: the model cannot be used.
        UsageError: the device is not there.
        SourceError: a file cannot be read.

    """
    frames, films = _sorted(files) if files else ([scene(faces) for faces in GRIDS], [])
    detector, analyzer = open_detector("mtcnn", device=device), Analyzer(model=model, device=device)
    for frame in frames if files else [scene(6)]:
        found = len(detector([frame])[0])
        yield _timed("detector", _found(frame, found), found, partial(detector, [frame]), runs)
    classifier = open_classifier(model, device=device)
    size = classifier.metadata.size
    shape = (size, size) if classifier.grey else (size, size, 3)
    for batch in BATCHES:
        crops = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
        yield _timed("classifier", f"batch of {batch}", batch, partial(classifier, crops), runs, items=batch)
    for frame in frames:
        found = len(analyzer.analyze_frames([frame])[0].faces)
        yield _timed("picture", _found(frame, found), found, partial(analyzer.analyze_frames, [frame]), runs)
    with TemporaryDirectory(prefix="mien-") as folder:
        if not files:
            films = [Path(folder) / f"{name}.mp4" for name in FILMS]
            for film, (faces, shown, seconds) in zip(films, FILMS.values(), strict=True):
                write_film(film, faces, shown, seconds)
        for film in films:
            yield _film(analyzer, film, min(runs, _FILM_RUNS))
        yield from _cold_start(model, device)
        if memory:
            yield from _film_memory(model, Path(folder), device)


def _sorted(files: Sequence[Path]) -> tuple[list[Frame], list[Path]]:
    """Return the pictures, read, and the films."""
    frames, films = [], []
    for file in files:
        with open_media(file) as media:
            first = next(media.frames)
        if first.time is None:
            frames.append(first)
        else:
            films.append(file)
    return frames, films


def _film(analyzer: Analyzer, film: Path, runs: int) -> Figure:
    """Return the time of a frame when a film is analysed from its file to its records."""
    times, results = [], []
    for _ in range(runs + 1):
        started = time.perf_counter()
        results = list(analyzer.stream(film))
        for result in results:
            json.dumps(result.to_record())
        times.append(1000.0 * (time.perf_counter() - started) / len(results))
    broken = next((result.error for result in results if result.error is not None), None)
    if broken is not None:
        raise SourceError(broken)
    people = statistics.median_low(len(result.faces) for result in results)
    what = f"{results[0].width}x{results[0].height}, {len(results)} frames, {people} face{'s' * (people != 1)}"
    return _figure("film", what, people, times[1:], "ms", rate=1000.0 / statistics.median(times[1:]))


def machine(*, device: str = "cpu") -> dict[str, Any]:
    """Return what the figures depend on; `device` is what networks are computed on.

    Raises:
        UsageError: it is not there.

    """
    chosen = chosen_device(device)
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": memory,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "mien": mien.__version__,
        "onnxruntime": runtime()[0],
        "numpy": version("numpy"),
        "pillow": version("pillow"),
        "device": chosen.name,
        "providers": [chosen.provider],
    }


def _timed(kind: str, what: str, faces: int, work: Callable[[], object], runs: int, *, items: int = 1) -> Figure:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(1000.0 * (time.perf_counter() - started))
    return _figure(kind, what, faces, times, "ms", rate=1000.0 * items / statistics.median(times))


def _cold_start(model: str, device: str) -> Iterator[Figure]:
    """Yield the time of a new process that analyses one picture, and the most memory that it held."""
    with resources.as_file(resources.files("mien.evaluation") / "face.jpg") as picture:
        times, peaks = [], []
        for _ in range(_COLD_RUNS):
            started = time.perf_counter()
            peaks.append(most_memory(picture, model, device=device))
            times.append(1000.0 * (time.perf_counter() - started))
    yield _figure("cold start", "a new process analyses one picture", None, times, "ms")
    if max(peaks) > 0:
        yield _figure("memory", "of that process, at most", None, peaks, "MiB")


def _film_memory(model: str, folder: Path, device: str) -> Iterator[Figure]:
    for name, minutes in _LONG.items():
        film = folder / f"{minutes}.mp4"
        write_film(film, 1, (1280, 720), 60.0, times=minutes)
        peak = most_memory(film, model, device=device)
        if peak > 0:
            yield _figure("memory", f"1280x720, {name}, at most", None, [peak], "MiB")


def most_memory(source: Path, model: str, *, device: str = "cpu") -> float:
    """Analyse a picture, a film or a folder in a new process; return the most memory that it held, in MiB.

    It is 0 where the system does not tell.

    Raises:
        MienError: the process failed.

    """
    child = subprocess.run(  # noqa: S603  # this very interpreter, with a program from above
        [sys.executable, "-c", _CHILD, str(source), model, device], capture_output=True, text=True, check=False
    )
    if child.returncode:
        raise MienError(f"a new process could not analyse {source.name}: {child.stderr.strip()[-300:]}")
    return int(child.stdout) / 1024


def _figure(
    kind: str, what: str, faces: int | None, values: Sequence[float], unit: str, *, rate: float | None = None
) -> Figure:
    value, least, most = (round(number, 2) for number in (statistics.median(values), min(values), max(values)))
    return Figure(kind, what, faces, value, least, most, unit, len(values), None if rate is None else round(rate, 1))


def _found(frame: Frame, faces: int) -> str:
    return f"{frame.width}x{frame.height}, {faces} face{'s' * (faces != 1)} found"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
