"""The same input gives the same record: on a second run to the byte, and whatever the batches and threads, nearly."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import EXAMPLES, ROOT
from hostile.films import film

SCORES, PIXELS = 1e-5, 0.01
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]

_ANSWER = """
import json
import os
import sys
from pathlib import Path

import numpy as np

if sys.argv[1] != "all":
    os.sched_setaffinity(0, {int(sys.argv[1])})
import mien
from mien.sources import read_picture

folder = Path(sys.argv[2])
analyzer = mien.Analyzer()


def plain(result):
    faces = [
        [face.box, face.detection, face.track, list(face.scores.values()), list((face.smoothed or {}).values())]
        for face in result.faces
    ]
    return [Path(result.source).name, result.frame, result.time, faces]


frames = [read_picture(path) for path in sorted(folder.glob("*.png"))]
answers = {}
for size in (1, 8, 64):
    batches = [frames[i : i + size] for i in range(0, len(frames), size)]
    answers[f"batches of {size}"] = [plain(r) for batch in batches for r in analyzer.analyze_frames(batch)]
answers["film"] = [plain(result) for result in analyzer.stream(folder / "film.mp4")]
for threads in (1, 2, 3) if sys.argv[1] == "all" else ():
    other = mien.Analyzer(threads=threads)
    answers[f"{threads} threads"] = [plain(r) for r in other.analyze_frames(frames)]
    answers[f"film, {threads} threads"] = [plain(result) for result in other.stream(folder / "film.mp4")]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("determinism")
    sizes = [(480, 270), (641, 361), (300, 169), (481, 271)]
    with Image.open(EXAMPLES / "three_people.jpg") as people, Image.open(EXAMPLES / "astronaut.jpg") as astronaut:
        for number in range(10):
            people.resize(sizes[number % len(sizes)]).rotate(number).save(folder / f"people-{number}.png")
        for number in range(4):
            astronaut.resize((256 + 37 * number, 256)).save(folder / f"astronaut-{number}.png")
        Image.fromarray(np.zeros((90, 160, 3), np.uint8)).save(folder / "nobody.png")
    (folder / "film.mp4").write_bytes(film(frames=16))
    return folder


def answers(cores: str, folder) -> dict[str, list]:
    command = [sys.executable, "-c", _ANSWER, cores, folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)


def assert_nearly(one: list, other: list) -> None:
    for (*which, faces), (*those, others) in zip(one, other, strict=True):
        assert which == those
        for face, same in zip(faces, others, strict=True):
            (box, detection, track, scores, smoothed), (box2, detection2, track2, scores2, smoothed2) = face, same
            assert np.abs(np.subtract(box, box2)).max() <= PIXELS, which
            assert abs((detection or 0) - (detection2 or 0)) <= SCORES, which
            assert track == track2
            assert np.abs(np.subtract(scores, scores2)).max() <= SCORES, which
            assert np.abs(np.subtract(smoothed, smoothed2)).max(initial=0) <= SCORES, which


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the number of cores cannot be held down here")
def test_batches_and_threads_change_nothing(folder):
    alone = answers(str(CORES[0]), folder)
    together = answers("all", folder)
    wanted = alone["batches of 1"]
    assert sum(len(faces) for *_, faces in wanted) >= 20
    for told in (alone, together):
        for size in (1, 8, 64):
            assert_nearly(wanted, told[f"batches of {size}"])
        assert_nearly(alone["film"], told["film"])
    for threads in (1, 2, 3):
        assert_nearly(wanted, together[f"{threads} threads"])
        assert_nearly(alone["film"], together[f"film, {threads} threads"])
    assert len(alone["film"]) == 16 and alone["film"][-1][-1]


@pytest.mark.slow
def test_a_second_run_is_the_first_to_the_byte_and_so_is_that_of_several_processes(folder, tmp_path):
    for number, options in enumerate(([], [], ["--workers", "1"], ["--workers", "3"])):
        command = [sys.executable, "-m", "mien", "analyze", folder, "--out", tmp_path / f"{number}.jsonl"]
        command += ["--out", tmp_path / f"{number}.csv", "--out", tmp_path / f"drawn-{number}", "--quiet", *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        subprocess.run(command, check=True, capture_output=True, env=environment)
    drawn = sorted((tmp_path / "drawn-0").iterdir())
    assert len(drawn) == 16
    for number in (1, 2, 3):
        for suffix in ("jsonl", "csv"):
            first = (tmp_path / f"0.{suffix}").read_bytes()
            assert first == (tmp_path / f"{number}.{suffix}").read_bytes()
            assert first.count(b"\n") > 30
        assert all(path.read_bytes() == (tmp_path / f"drawn-{number}" / path.name).read_bytes() for path in drawn)
