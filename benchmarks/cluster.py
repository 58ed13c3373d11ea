"""What `--engine ray` costs and gains: one node of one core, two of them, and the local engine on one core.

    python benchmarks/cluster.py [--pictures 1280] [--film SECONDS] [--repeat 3] [--json FILE]

All are measured in one run, in turn, so that what else the machine does falls on all alike. Everything of a cluster
of one node, and the local engine, is pinned to one core; each of two nodes to its own. What is done once is left out,
and told beside: the start (processes, Ray's connection, models, each node's first task), and the end (the pass in
which the last partition is written). The rate is that from when each node has done a task to the last task.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=1280, help="how many, 640x480 with one face")
    parser.add_argument("--film", type=int, default=240, help="seconds of 640x360 at 24 frames a second")
    parser.add_argument("--repeat", type=int, default=3, help="how often each; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--inner", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inner is not None:
        nodes, sources, out = asked.inner
        measured = measure_local(sources) if nodes == "0" else measure_ray(int(nodes), sources, out)
        print(json.dumps(measured))
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed")
    with tempfile.TemporaryDirectory() as folder:
        sources = {
            "pictures": make_pictures(Path(folder), asked.pictures),
            "film": make_film(Path(folder), asked.film),
        }
        amounts = {"pictures": asked.pictures, "film": asked.film}
        runs: dict[str, dict[str, list[dict[str, float]]]] = {
            kind: {nodes: [] for nodes in ("0", "1", "2")} for kind in sources
        }
        for _ in range(asked.repeat):
            for kind, source in sources.items():
                for nodes in ("0", "1", "2"):
                    runs[kind][nodes].append(in_a_process(nodes, source, Path(folder) / "out.parquet"))
    figures = {kind: summed_up(amounts[kind], of) for kind, of in runs.items()}
    report = {"machine": machine(), "commit": commit(), "amounts": amounts, **figures, "runs": runs}
    if asked.json is not None:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    print_report(report)


def in_a_process(nodes: str, source: Path, out: Path) -> dict[str, float]:
    """Measure once, in a process of its own; of fewer than two nodes, pinned to one core with all that it starts."""
    shutil.rmtree(out, ignore_errors=True)
    core = {min(os.sched_getaffinity(0))}
    command = [sys.executable, __file__, "--inner", nodes, str(source), str(out)]
    ran = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        preexec_fn=None if nodes == "2" else lambda: os.sched_setaffinity(0, core),
    )
    measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def measure_local(source: str) -> dict[str, float]:
    """Measure the local engine, in this process."""
    import mien

    began = time.perf_counter()
    analyzer = mien.Analyzer(threads=1)
    list(analyzer.stream(ROOT / "examples" / "astronaut.jpg"))
    started = time.perf_counter()
    processor = time.process_time()
    results = list(analyzer.stream(source))
    ended = time.perf_counter()
    assert all(result.error is None for result in results)
    return {"start": started - began, "seconds": ended - started, "processor": time.process_time() - processor}


def measure_ray(nodes: int, source: str, out: str) -> dict[str, float]:
    """Measure nodes of one core each, all on this machine."""
    from mien.bulk.task import Settings
    from mien.cluster import find_sources, run
    from mien.cluster.starting import load, started

    began = time.perf_counter()
    load()
    from ray.cluster_utils import Cluster

    cores = sorted(os.sched_getaffinity(0))
    cluster: Any = Cluster()
    for node in range(nodes):
        os.sched_setaffinity(0, {cores[node % len(cores)]})  # what a process starts is pinned as it is
        cluster.add_node(num_cpus=1, **({"include_dashboard": False} if node == 0 else {}))
    os.sched_setaffinity(0, set(cores))
    first: list[float] = []
    progress: list[tuple[float, float, float]] = []

    def note(done: float, of: int, faces: int) -> None:
        progress.append((time.perf_counter(), done, processor()))

    try:
        with started(cluster.address):
            first.append(time.perf_counter())
            run(
                find_sources([source], recursive=False, failed=lambda error: sys.exit(str(error))),
                out=out,
                settings=Settings(smooth=0.4, detect_every=0.4),
                failed=sys.exit,
                progress=note,
            )
            ended = time.perf_counter()
    finally:
        cluster.shutdown()
    assert len(progress) > nodes, "too little to do"
    (since, some, before), (until, all_of_them, after) = progress[nodes - 1], progress[-1]
    share = (all_of_them - some) / all_of_them
    return {
        "start": since - began,
        "seconds": (until - since) / share,
        "processor": (after - before) / share,
        "end": ended - until,
        "whole": ended - first[0],
    }


def processor() -> float:
    """Return the seconds of processor that this process and all that it has started have taken."""
    import psutil  # type: ignore[import-untyped]

    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def summed_up(amount: int, runs: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return rates by medians, and how they stand to one another."""
    busy = {nodes: statistics.median(run["processor"] for run in of) for nodes, of in runs.items()}
    seconds = {nodes: statistics.median(run["seconds"] for run in of) for nodes, of in runs.items()}
    return {
        "local": amount / seconds["0"],
        "one node": amount / seconds["1"],
        "two nodes": amount / seconds["2"],
        "two against one": seconds["1"] / seconds["2"],
        "overhead": seconds["1"] / seconds["0"] - 1,
        "overhead in processor time": busy["1"] / busy["0"] - 1,
        "start": statistics.median(run["start"] for run in runs["1"]),
        "end": statistics.median(run["end"] for run in runs["1"]),
    }


def print_report(report: Mapping[str, Any]) -> None:
    """Print the figures as the table of docs/scale.md."""
    print(f"{report['machine']}, commit {report['commit']}\n")
    print("| | pictures/s | film, seconds a second | asked |\n|---|---|---|---|")
    asked = {"two against one": ">= 1.5", "overhead": "<= 15%", "overhead in processor time": "<= 15%"}
    pictures, film = report["pictures"], report["film"]
    assert isinstance(pictures, dict)
    assert isinstance(film, dict)
    for name in pictures:
        form = "{:.0%}" if name.startswith("overhead") else "{:.1f} s" if name in ("start", "end") else "{:.2f}"
        print(f"| {name} | {form.format(pictures[name])} | {form.format(film[name])} | {asked.get(name, '')} |")
    print(f"\na million pictures: {1e6 / pictures['one node'] / 3600:.1f} core hours")
    print(f"a thousand hours of film: {1000 / film['one node']:.0f} core hours")


def make_pictures(folder: Path, number: int) -> Path:
    """Return a folder of so many pictures, 640x480, of one face each."""
    from PIL import Image

    target = folder / "pictures"
    target.mkdir()
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        face = image.convert("RGB").resize((480, 480))
    for i in range(number):
        picture = Image.new("RGB", (640, 480), (90, 100, 110))
        picture.paste(face, (i * 7 % 160, 0))
        picture.save(target / f"{i:06}.jpg", quality=90)
    return target


def make_film(folder: Path, seconds: int) -> Path:
    """Return a film of a face that sways, 640x360 at 24 frames a second, with a keyframe every 2 seconds."""
    import math

    import av
    import numpy as np
    from PIL import Image

    path = folder / "film.mp4"
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        face = np.asarray(image.convert("RGB").resize((360, 360)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 640, 360, "yuv420p", 48
        stream.options = {"preset": "veryfast"}
        for i in range(seconds * 24):
            picture = np.full((360, 640, 3), 100, np.uint8)
            left = round(140 + 100 * math.sin(i / 60))
            picture[:, left : left + 360] = face
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def machine() -> str:
    """Return what this is measured on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def commit() -> str:
    """Return what was measured."""
    asked = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
