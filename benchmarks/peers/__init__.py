"""Other tools on the same pictures, each in an environment of its own.

An adapter is one program that is given a file, in JSON `{"runs": N, "pictures": [PATH, …]}`, loads its tool, analyses
each picture once without counting it and then N times, and prints for each a line of JSON,
`{"picture": PATH, "faces": N, "milliseconds": [N numbers]}`. What else it prints is passed over. A time is from the
path of the picture to the emotions of its faces, the model being loaded.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.clock import Row, row
from benchmarks.pictures import mosaic, six_people
from benchmarks.plan import Plan

ADAPTERS = {path.stem: path for path in Path(__file__).parent.iterdir() if path.stem != "__init__" and path.is_file()}
"""Programs by the name of the tool."""


def measure_peers(peers: Sequence[str], plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the time that each of `peers` (NAME=PROGRAM) takes for each picture, which is written to `folder`.

    Raises:
        ValueError: there is no such adapter.
        RuntimeError: a peer failed; the message has its last words.

    """
    for peer in peers:
        name, _, program = peer.partition("=")
        if name not in ADAPTERS or not program:
            raise ValueError(f"{peer}: write NAME=PROGRAM, with one of the names {', '.join(sorted(ADAPTERS))}")
        pictures = _written(plan, folder)
        task = folder / "task.json"
        task.write_text(json.dumps({"runs": plan.runs, "pictures": [str(path) for path in pictures]}), "utf-8")
        command = [program, str(ADAPTERS[name]), str(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr.strip()[-500:]}")
        for text in done.stdout.splitlines():
            if text.startswith('{"picture"'):
                answer = json.loads(text)
                measured = row(f"peer {name}", pictures[Path(answer["picture"])], answer["milliseconds"], "ms")
                yield replace(measured, faces=answer["faces"], rate=1000.0 / measured.value)


def _written(plan: Plan, folder: Path) -> dict[Path, str]:
    """Return pictures by path, and what they are."""
    size = plan.sizes[min(1, len(plan.sizes) - 1)]
    stored = {f"{size[0]}x{size[1]}, {faces} faces": mosaic(faces, size) for faces in plan.faces}
    if (six := six_people()) is not None:
        stored["1280x720, six people"] = six
    written = {}
    for i, (what, content) in enumerate(stored.items()):
        path = folder / f"peer-{i}.jpg"
        path.write_bytes(content)
        written[path] = what
    return written
