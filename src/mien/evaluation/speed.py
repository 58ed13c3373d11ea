"""How fast mien is on this machine, and how much memory it takes."""

from __future__ import annotations

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
from typing import Any

import numpy as np
from PIL import Image, ImageOps

import mien
from mien.analyzer import Analyzer
from mien.classifier import open_classifier
from mien.detectors import open_detector
from mien.errors import MienError
from mien.models.session import PROVIDERS, cores, runtime
from mien.results import Frame
from mien.sources import read_picture

WIDTH, HEIGHT = 1280, 720
BATCHES = (1, 32, 256)
GRIDS = {1: (1, 1), 6: (3, 2), 30: (6, 5)}
"""Columns and rows of the scenes, by the number of their faces."""
_COLD_RUNS = 3
_CHILD = """
import sys
import mien
mien.analyze(sys.argv[1], model=sys.argv[2])
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
        kind: `detector`, `classifier`, `picture`, `cold start` or `memory`.
        what: in words.
        faces: found in the picture, or classified at once; None where that is not the point.
        value: the median of the runs.
        least, most: of the runs.
        unit: `ms` or `MiB`.
        runs: how many.
        rate: faces or pictures a second; None where that makes no sense.

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


def scene(faces: int) -> Frame:
    """Return a 1280x720 picture with 1, 6 or 30 faces: one portrait (NASA, public domain) in a grid."""
    columns, rows = GRIDS[faces]
    cell = (-(-WIDTH // columns), HEIGHT // rows)
    with resources.files("mien.evaluation").joinpath("face.jpg").open("rb") as file, Image.open(file) as portrait:
        tile = ImageOps.fit(portrait.convert("RGB"), cell, Image.Resampling.BILINEAR, centering=(0.5, 0.3))
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for i in range(faces):
        picture.paste(tile, (i % columns * cell[0], i // columns * cell[1]))
    return Frame(np.asarray(picture), f"{faces} faces")


def measure(*, model: str, pictures: Sequence[Path] = (), runs: int = 20) -> Iterator[Figure]:
    """Yield the figures one by one: detector, classifier, whole pictures, cold start, memory.

    Args:
        model: of expressions.
        pictures: files to measure whole analyses of, instead of the scenes with 1, 6 and 30 faces.
        runs: of each, after one that does not count.

    Raises:
        ModelError: the model cannot be used.
        SourceError: a picture cannot be read.

    """
    frames = [read_picture(picture) for picture in pictures] or [scene(faces) for faces in GRIDS]
    detector, analyzer = open_detector("mtcnn"), Analyzer(model=model)
    for frame in frames if pictures else [scene(6)]:
        found = len(detector([frame])[0])
        yield _timed("detector", _found(frame, found), found, partial(detector, [frame]), runs)
    classifier = open_classifier(model)
    size = classifier.metadata.size
    shape = (size, size) if classifier.grey else (size, size, 3)
    for batch in BATCHES:
        crops = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
        yield _timed("classifier", f"batch of {batch}", batch, partial(classifier, crops), runs, items=batch)
    for frame in frames:
        found = len(analyzer.analyze_frames([frame])[0].faces)
        yield _timed("picture", _found(frame, found), found, partial(analyzer.analyze_frames, [frame]), runs)
    yield from _cold_start(model)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
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
        "providers": list(PROVIDERS),
    }


def _timed(kind: str, what: str, faces: int, work: Callable[[], object], runs: int, *, items: int = 1) -> Figure:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(1000.0 * (time.perf_counter() - started))
    return _figure(kind, what, faces, times, "ms", rate=1000.0 * items / statistics.median(times))


def _cold_start(model: str) -> Iterator[Figure]:
    """Yield the time of a new process that analyses one picture, and the most memory that it held."""
    with resources.as_file(resources.files("mien.evaluation") / "face.jpg") as picture:
        times, peaks = [], []
        for _ in range(_COLD_RUNS):
            started = time.perf_counter()
            child = subprocess.run(  # noqa: S603  # this very interpreter, with a program from above
                [sys.executable, "-c", _CHILD, str(picture), model], capture_output=True, text=True, check=False
            )
            times.append(1000.0 * (time.perf_counter() - started))
            if child.returncode:
                raise MienError(f"a new process could not analyse a picture: {child.stderr.strip()[-300:]}")
            peaks.append(int(child.stdout) / 1024)
    yield _figure("cold start", "a new process analyses one picture", None, times, "ms")
    if max(peaks) > 0:
        yield _figure("memory", "of that process, at most", None, peaks, "MiB")


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
