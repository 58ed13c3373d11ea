"""Ten thousand pictures and fifty films, good and bad, in one process: it holds in the end what it held before."""

import json
import os
import subprocess
import sys

import pytest

from conftest import EXAMPLES, ROOT
from hostile.films import film

PICTURES, FILMS = 10_000, 50
GROWTH = 0.02

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's /proc"),
]

PROGRAM = """
import ctypes, gc, io, json, os, random, re, sys, threading, time
from pathlib import Path

import numpy as np
from PIL import Image

import mien
from mien.sinks import JsonLines, Records
from mien.timeline import Summary

examples, folder, pictures, films = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(0)
analyzer = mien.Analyzer()
sources = []
for name in ("astronaut.jpg", "three_people.jpg"):
    with Image.open(examples / name) as image:
        for side in range(64, 200, 8):
            small = image.convert("RGB").resize((side, side * image.height // image.width))
            for form in ("JPEG", "PNG", "WEBP"):
                file = io.BytesIO()
                small.save(file, form)
                sources.append(file.getvalue())
            sources.append(np.asarray(small))
            path = folder / f"{side}-{name}"
            small.save(path)
            sources.append(path)
sources += [sources[0][:400], b"no picture", b"", folder / "nothing.jpg", folder / "cut.mp4"]


def picture():
    try:
        result = analyzer.analyze(chance.choice(sources))
    except mien.MienError:
        return False
    result.to_record()
    return True


def one_film(number):
    people, left = Summary(), number % 5 == 0
    stream = analyzer.stream(folder / ("cut.mp4" if number % 7 == 0 else "film.mp4"), fps=12 if number % 2 else None)
    with open(os.devnull, "w") as file:
        sink = Records(file, JsonLines())
        for result in stream:
            people.add(result)
            sink.write(result, None)
            if left:
                break
    if number % 10:
        stream.close()  # others are forgotten


def held():
    gc.collect()
    end = time.monotonic() + 10
    while any(thread.name == "mien-ahead" for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.05)
    ctypes.CDLL(None).malloc_trim(0)  # what is free is not held
    memory = int(re.search(r"^Anonymous: *(\\d+)", Path("/proc/self/smaps_rollup").read_text(), re.M)[1]) / 1024
    return memory, len(os.listdir("/proc/self/fd")), threading.active_count()


good = 0
for number in range(pictures):
    good += picture()
    if number % (pictures // films) == 0:
        one_film(number // (pictures // films))
    if (number + 1) % (pictures // 10) == 0:
        print(json.dumps(held()), flush=True)
assert pictures * 0.9 < good < pictures
"""


def test_ten_thousand_pictures_and_fifty_films_leave_nothing_behind(tmp_path):
    whole = film(frames=24)
    (tmp_path / "film.mp4").write_bytes(whole)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    command = [sys.executable, "-c", PROGRAM, EXAMPLES, tmp_path, str(PICTURES), str(FILMS)]
    # With a heap for each thread, as is usual, the C library holds more or less by which threads freed what: by 10 %
    # up and down over hundreds of films. With one heap, what is held is what is used.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    memory, handles, threads = zip(*told[1:], strict=True)  # the first thousand warm up
    print(f"\n{memory[0]:.1f} to {memory[-1]:.1f} MiB, {handles[-1]} handles, {threads[-1]} threads: {told}")
    assert max(memory[-3:]) <= (1 + GROWTH) * memory[0]
    assert len(set(handles)) == 1 and len(set(threads)) == 1
