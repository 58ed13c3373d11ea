"""Times `mien analyze` on a folder, with and without worker processes.

It makes pictures of 640x480 with one face each, analyses them in turn with each number of workers, the caches warm,
and prints the medians as JSON: pictures a second, the share of the cores' time that was used, milliseconds of
computing for each picture, those of them in the process that hands out and writes, and the memory of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from mien.evaluation.scenes import scene
from mien.models.session import cores

_RUN = """
import json, resource, sys
from mien.cli import main
if __name__ == "__main__":
    target = sys.argv.pop(1)
    try:
        main()
    finally:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        with open(target, "w") as file:
            json.dump([[usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024] for usage in usages], file)
"""


def measure(folder: Path, work: Path, workers: int, *, pictures: int, draw: bool) -> dict[str, float]:
    """Return what one run took."""
    usage, script = work / "usage.json", work / "run.py"
    script.write_text(_RUN)
    command = [sys.executable, str(script), str(usage), "analyze", str(folder), "--quiet", "--overwrite"]
    command += ["--out", str(work / "faces.jsonl"), "--workers", str(workers)]
    command += ["--out", str(work / "marked/")] if draw else []
    began = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - began
    (parent, parent_memory), (others, worker_memory) = json.loads(usage.read_text())
    return {
        "seconds": seconds,
        "pictures_a_second": pictures / seconds,
        "cores_busy": (parent + others) / seconds / cores(),
        "cpu_ms_a_picture": 1000 * (parent + others) / pictures,
        "parent_cpu_ms_a_picture": 1000 * parent / pictures,
        "parent_mb": parent_memory,
        "worker_mb": worker_memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draw", action="store_true", help="annotate them too")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, cores()])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, work = Path(name) / "photos", Path(name) / "out"
        folder.mkdir()
        work.mkdir()
        first = folder / f"{0:06}.jpg"
        Image.fromarray(scene(1, (640, 480)).pixels).save(first, quality=90)
        for number in range(1, options.pictures):
            (folder / f"{number:06}.jpg").write_bytes(first.read_bytes())
        told: dict[str, object] = {"pictures": options.pictures, "cores": cores(), "load_before": os.getloadavg()[0]}
        runs: dict[int, list[dict[str, float]]] = {workers: [] for workers in options.workers}
        for _ in range(options.rounds):  # in turn, so that whatever else runs here meets all alike
            for workers, found in runs.items():
                found.append(measure(folder, work, workers, pictures=options.pictures, draw=options.draw))
        for workers, found in runs.items():
            told[f"workers_{workers}"] = {
                key: round(statistics.median(one[key] for one in found), 3) for key in found[0]
            }
        json.dump(told, sys.stdout, indent=2)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
