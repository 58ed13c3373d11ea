"""Every page says what is true: its commands are commands, its snippets run, its links lead somewhere.

A page's blocks are run in one folder, in their order, as a reader would type them. A comment before a block,
<!-- not run: REASON -->, leaves it at being parsed; <!-- slow: REASON --> at the top of a page puts it among the slow tests.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import http.server
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest
import typer
from PIL import Image

import mien
from mien.classifier import open_classifier
from mien.cli import app
from mien.datasets.labelled import VOTES

from conftest import EXAMPLES, ROOT, real_faces
from pages import ELSEWHERE, Block, Page, pages, simple, words

sys.path.insert(0, str(ROOT / "scripts"))
from check_site import faults  # noqa: E402

PAGES = pages()
MIEN = typer.main.get_command(app)
CHROMIUM = Path("/usr/bin/chromium")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SERVED = "http://127.0.0.1:8000"
SMALL = "epochs=1 batch_size=16 stem=8 widths=[8,16,16] precision=32-true".split()
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
            parser.make_context(" ".join(path), rest)
        case "make":
            targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
            assert set(rest) <= targets, line
        case "pip":
            for extras in re.findall(r"(?:\.|mien)\[([a-z,]+)\]", line):
                assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), line
        case "python":
            assert rest[0] == "-m" or (ROOT / rest[0]).is_file(), line
        case _:
            assert command in ("curl", "docker", "npm", "twine", ".ci/run"), f"what is {command}?"


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
        self._server: subprocess.Popen[str] | None = None
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
            if rest[0] in ("train", "bench"):
                rest += [word for setting in SMALL for word in ("--set", setting)] if self._trains(rest) else []
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

    @staticmethod
    def _trains(rest: list[str]) -> bool:
        return rest[:2] == ["train", "embedded"] and not {"--resume", "--show"} & set(rest)

    def _serve(self, rest: list[str]) -> None:
        """Start the service on a free port; what is asked of the page's address goes there from now on."""
        self.leave()
        command = [sys.executable, "-m", "mien", *rest, "--port", "0", *({"--no-page"} - set(rest))]
        self._server = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        assert self._server.stderr is not None
        for told in self._server.stderr:
            if found := re.search(r"listening on (http://\S+?),?(?:\s|$)", told):
                self._address = found[1]
                break
        else:
            raise AssertionError(f"{rest}: it did not start")
        threading.Thread(target=self._server.stderr.read, daemon=True).start()

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


# --- what is said


def test_the_record_is_described_whole():
    text = (ROOT / "docs" / "reference" / "record.md").read_text("utf-8")
    face = mien.Face((0, 0, 1, 1), 1.0, {mien.Emotion.HAPPY: 1.0}, track=1, smoothed={mien.Emotion.HAPPY: 1.0})
    record = mien.Result("a", 0, 0.0, 1, 1, "m", (face,)).to_record()
    (example,) = (json.loads(block.code) for block in Page(ROOT / "docs/reference/record.md").blocks() if block.language == "json")
    assert list(example) == list(record)
    assert list(example["faces"][0]) == list(record["faces"][0])
    assert sum(example["faces"][0]["scores"].values()) == pytest.approx(1)
    for name in [*record, *record["faces"][0]]:
        assert f"`{name}`" in text
    mien.Result.from_record(example)


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    assert sorted(re.findall(r"^::: mien\.(\w+)$", text, re.MULTILINE)) == sorted(mien.__all__)


@pytest.mark.parametrize("name", ["README.md", "docs/concepts/sets.md", "docs/concepts/raters.md"])
def test_accuracies_in_tables_are_those_of_the_model(name):
    scores = open_classifier("embedded").metadata.scores
    known = {f"{score['accuracy']:.1f}" for score in scores if score["split"] == "private_test" and not score["flip"]}
    rows = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line.startswith("|")]
    ours = [row for row in rows if name != "README.md" or row.startswith("| **mien**")]
    said = {figure for row in ours for figure in re.findall(r"\b\d\d\.\d\b", row)}
    assert len(said) >= 4
    assert said <= known


def test_what_is_said_of_calibration_is_true():
    metadata = open_classifier("embedded").metadata
    text = (ROOT / "docs" / "concepts" / "calibration.md").read_text("utf-8")
    for output in metadata.outputs:
        assert f"{output.temperature:.2f} for `{output.name}`" in text
    errors = {
        (score["labels"], score["emotions"]): f"{score['ece']:.3f}"
        for score in metadata.scores
        if score["split"] == "private_test" and not score["flip"] and score["subset"] == "all"
    }
    said = re.findall(r"^\| `\w+` \|.*\| (0\.\d{3}) \|$", text, re.MULTILINE)
    assert said == [errors["fer2013", "seven"], errors["ferplus", "eight"], errors["ferplus-majority", "eight"]]
    least, most = min(map(float, errors.values())), max(map(float, errors.values()))
    assert f"{least:.3f} and {most:.3f}" in " ".join(text.split())


def test_what_is_said_of_weak_spots_is_true():
    (score,) = (
        score
        for score in open_classifier("embedded").metadata.scores
        if (score["labels"], score["emotions"], score["split"]) == ("ferplus", "eight", "private_test")
        and not score["flip"]
        and score["subset"] == "all"
    )
    text = " ".join((ROOT / "docs" / "concepts" / "measured.md").read_text("utf-8").split())
    told = "{happy:.0f} % of the faces that they call happy, {neutral:.0f} % of the neutral and {surprised:.0f} % of the"
    assert told.format(**score["recall"]) in text
    assert "{sad:.0f} % of the sad ones".format(**score["recall"]) in text
    assert "{fearful:.0f} % of the fearful".format(**score["recall"]) in text


# --- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("zensical", reason="the site is built by zensical: pip install 'mien[docs]'")
    where = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, ROOT / "scripts" / "make_docs.py", where]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return where


def test_the_site_is_built_without_dead_links_and_names_all_that_is_public(site):
    text = (site / "reference" / "python.html").read_text("utf-8")
    for name in mien.__all__:
        assert f'id="mien.{name}"' in text
    text = (site / "reference" / "cli.html").read_text("utf-8")
    for verb in MIEN.commands:
        assert f'id="mien-{verb}' in text
    assert 'id="post-v1analyze"' in (site / "reference" / "rest.html").read_text("utf-8")


def test_faults_of_a_site_are_found(tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="gone.html"></a><a href="#gone"></a><script src="https://example.org/a.js"></script>'
        '<a id="here" href="#here"></a><a href="https://example.org/"></a>'
    )
    assert [fault.partition(" ")[0] for fault in faults(tmp_path)] == ["index.html:"] * 3


@pytest.mark.slow
def test_pages_in_a_browser_ask_nobody_else(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs chromium")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(site))

        def log_message(self, *arguments):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_address[1]}/"
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            page = browser.new_page()
            asked, said = [], []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            for path in sorted(site.rglob("*.html")):
                page.goto(home + str(path.relative_to(site)), wait_until="networkidle")
            browser.close()
        server.shutdown()
    assert asked
    assert [url for url in asked if not url.startswith((home, "data:", "blob:"))] == []
    assert said == []
