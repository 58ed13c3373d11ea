"""Every command on every page is a command, and every snippet runs.

A page's blocks are run in one folder, in their order, as a reader would type them. A comment before a block,
<!-- not run: REASON -->, leaves it at being parsed; <!-- slow: REASON --> at the top of a page puts all of it
among the slow tests.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import typer
from PIL import Image

from mien.cli import app
from mien.datasets.labelled import VOTES
from mien.training.recipe import ChainRecipe, read_recipe

from conftest import EXAMPLES, ROOT, real_faces
from pages import ELSEWHERE, Block, Page, pages, simple, words

PAGES = pages()
MIEN = typer.main.get_command(app)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SERVED = "http://127.0.0.1:8000"
SMALL = ["epochs=1", "batch_size=16", "stem=8", "widths=[8,16,16]", "precision=32-true"]
"""Settings that make of the recipe `embedded` something which a test can wait for."""


def ids(page: Page) -> str:
    return page.name


# --- what is parsed on every page


def check(line: str) -> None:
    """Fail unless a command can be given as it stands: verb, options, values, extras and targets exist."""
    command, *rest = words(line)
    match command:
        case "mien":
            parser, path = MIEN, ["mien"]
            if rest and rest[0] not in parser.commands:
                assert rest[0] in ("--version", "--help", "--install-completion"), line
                return
            if "--help" in rest:
                rest.remove("--help")
                while hasattr(parser, "commands"):
                    parser = parser.commands[rest.pop(0)]
                return
            for operator in ("<", ">", "|"):
                rest = rest[: rest.index(operator)] if operator in rest else rest
            while hasattr(parser, "commands"):
                path.append(rest[0])
                parser = parser.commands[rest.pop(0)]
            given = parser.make_context(" ".join(path), rest).params
            if path[-1] == "train":
                check_recipe(given, line)
        case "make":
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
            assert set(rest) <= targets, line
        case "pip":
            for extras in re.findall(r"(?:\.|mien)\[([a-z,]+)\]", line):
                assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), line
        case "python":
            assert rest[0] == "-m" or (ROOT / rest[0]).is_file(), line
        case _:
            assert command in ("curl", "docker", "find", "npm", "ray", "twine", ".ci/run"), f"what is {command}?"


def check_recipe(given: dict[str, Any], line: str) -> None:
    """Fail unless what `mien train` is given is a recipe that ships, with settings that it has."""
    name, settings = given["recipe"], list(given["settings"])
    assert given["show"] or given["data"] is not None, line
    if name.endswith(".toml"):
        return
    if isinstance(shipped := read_recipe(name), ChainRecipe):
        for setting in settings:
            stage, _, change = setting.partition(".")
            assert stage in shipped.stages, line
            read_recipe(stage, [change])
    else:
        read_recipe(name, settings)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_block_can_be_parsed(page):
    for block in page.blocks():
        where = f"{page.name}:{block.line}"
        match block.language:
            case "sh":
                for line in block.commands:
                    check(line)
            case "python":
                ast.parse(block.code, where)
            case "toml":
                tomllib.loads(block.code)
            case "json":
                json.loads(block.code.replace('"…": 0.0', '"sad": 0.0'))
            case "csv":
                rows = list(csv.reader(block.code.splitlines()))
                assert len({len(row) for row in rows}) == 1, where
            case "r" | "nginx" | "yaml":
                assert page.name in ELSEWHERE or block.reason, f"{where}: nothing runs this: say so"
            case "text" | "":
                pass
            case language:
                raise AssertionError(f"{where}: no test knows what to do with {language!r}")


def test_pages_that_are_run_elsewhere_are():
    for name, test in ELSEWHERE.items():
        assert (ROOT / name).is_file()
        assert (ROOT / "tests" / test).is_file()


# --- what is run


@pytest.fixture(scope="session")
def cast(tmp_path_factory) -> Path:
    """Make the files that pages speak of."""
    here = tmp_path_factory.mktemp("cast")
    shutil.copy(EXAMPLES / "astronaut.jpg", here / "photo.jpg")
    (here / "photos" / "more").mkdir(parents=True)
    for name in ("astronaut.jpg", "three_people.jpg"):
        shutil.copy(EXAMPLES / name, here / "photos")
    shutil.copy(EXAMPLES / "three_people.jpg", here / "photos" / "more")
    shutil.copytree(EXAMPLES, here / "examples")
    shutil.copy(ROOT / "src" / "mien" / "models" / "embedded.onnx", here / "mine.onnx")
    film(here / "talk.mp4")
    (here / "films").mkdir()
    shutil.copy(here / "talk.mp4", here / "films" / "one.mp4")
    shutil.copy(here / "talk.mp4", here / "films" / "two.mp4")
    return here


def film(path: Path, *, frames: int = 12, rate: int = 6) -> None:
    """Write a film of two seconds in which somebody drifts across the picture."""
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        portrait = image.convert("RGB")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, width=256, height=256, options={"preset": "ultrafast"})
        for i in range(frames):
            pixels = np.asarray(portrait.crop((8 * i, 0, 8 * i + 400, 400)).resize((256, 256)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def published(folder: Path, shared: Path, each: int = 40) -> None:
    """Write some of FER2013 and FERPlus as the files that were published, and as folders of classes."""
    known = np.load(shared / "data" / "fer2013" / "labels.npz")
    rows, votes = [], []
    for split, usage in (("train", "Training"), ("public_test", "PublicTest"), ("private_test", "PrivateTest")):
        faces = real_faces(shared, split)[:each]
        for i, face in enumerate(faces):
            rows.append([known[f"{split}_labels"][i], " ".join(map(str, face.ravel())), usage])
            votes.append([usage, f"fer{len(votes):07d}.png", *known[f"{split}_votes"][i]])
    for name, head, lines in (
        ("fer2013.csv", ["emotion", "pixels", "Usage"], rows),
        ("fer2013new.csv", ["Usage", "Image name", *VOTES], votes),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([head, *lines])
    for number, label in ((3, "happy"), (4, "sad")):
        (folder / "groups" / label).mkdir(parents=True)
        for i in np.flatnonzero(known["public_test_labels"] == number)[:20]:
            Image.fromarray(real_faces(shared, "public_test")[i]).save(folder / "groups" / label / f"{i}.png")


class Reader:
    """Somebody who types what a page says, in a folder of their own."""

    def __init__(self, folder: Path, run) -> None:
        self.folder, self._run = folder, run
        self.names: dict[str, object] = {"__name__": "page"}
        self._server: subprocess.Popen[bytes] | None = None
        self._address = SERVED

    def type(self, block: Block, where: str) -> None:
        if block.language == "python":
            code = block.code.replace(SERVED, self._address)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile("\n" * (block.line) + code, where, "exec"), self.names)
            assert "print" not in code or out.getvalue().strip(), f"{where}: it prints nothing"
        elif block.language == "sh":
            for line in block.commands:
                self._command(line, f"{where}: {line}")

    def _command(self, line: str, where: str) -> None:
        command, *rest = words(line)
        if command in ("pip", "make"):  # parsed: to install anew is what CI does
            return
        if rest[:1] == ["serve"]:
            self._serve(rest)
        elif command == "mien" and simple(line):
            if rest[:2] == ["train", "embedded"] and "--resume" not in rest:
                rest += [word for setting in SMALL for word in ("--set", setting)]
            done = self._run(*rest)
            assert done.status == 0, f"{where}: {done.err}"
        else:
            there = line.replace(SERVED, self._address).replace("curl ", "curl --silent --show-error --fail ")
            bin_ = str(Path(sys.executable).parent)
            environment = {**os.environ, "PATH": os.pathsep.join((bin_, os.environ["PATH"]))}
            there = re.sub(r"\bmien (?=[a-z-])", f"{shlex.quote(sys.executable)} -m mien ", there)
            done = subprocess.run(
                ["bash", "-euc", there], cwd=self.folder, env=environment, capture_output=True, check=False
            )
            assert done.returncode == 0, f"{where}: {done.stderr.decode()}"

    def _serve(self, rest: list[str]) -> None:
        """Start the service on a free port; what is asked of the page's address goes there from now on."""
        self.leave()
        command = [sys.executable, "-m", "mien", *rest, "--port", "0", *({"--no-page"} - set(rest))]
        log = self.folder / "serve.log"
        with log.open("w") as told:
            self._server = subprocess.Popen(command, cwd=self.folder, stderr=told)
        while not (found := re.search(r"listening on (http://[\w.:]+)", log.read_text())):
            assert self._server.poll() is None, log.read_text()
            time.sleep(0.05)
        self._address = found[1]

    def leave(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(60)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.slow else [], id=page.name)
        for page in PAGES
        if page.name not in ELSEWHERE and any(block.language in ("sh", "python") for block in page.blocks())
    ],
)
def test_what_a_page_tells_to_type_works(page, cast, run, tmp_path, monkeypatch, request):
    folder = tmp_path / "here"
    shutil.copytree(cast, folder)
    if "mien export" in page.text:  # it makes that model itself
        (folder / "mine.onnx").unlink()
    if page.slow and "data/" in page.text:
        shared = request.getfixturevalue("shared")
        published(folder, shared)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    reader = Reader(folder, run)
    if page.slow and "unpack-fer" not in page.text and "data/fer" in page.text:
        assert run("data", "unpack-fer", "fer2013.csv", "data/fer", "--ferplus", "fer2013new.csv").status == 0
    try:
        for block in page.blocks():
            if block.reason is None:
                reader.type(block, f"{page.name}:{block.line}")
    finally:
        reader.leave()
