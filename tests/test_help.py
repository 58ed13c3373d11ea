"""`--help` of every verb: whole in 80 columns, with examples that run; and the answers to slips of the keys."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image

import mien
from mien.cli import app
from mien.cli.help import examples, prose

from conftest import EXAMPLES, ROOT
from test_docs import Reader, cast, check, published  # noqa: F401 (a fixture)

CHEAP = ("doctor", "models list", "models info", "models verify", "models card")
"""Verbs whose examples need nothing but the model."""
OF_FILMS = ("", "analyze", "plot", "watch")
NOT_RUN = {
    "mien watch camera:0": "needs a camera",
    "mien analyze camera:0 --out seen.jsonl --out seen.mp4": "needs a camera",
    "mien models pull yunet": "fetches from the network; tests/test_pulling.py does",
    "mien models pull yunet --from yunet_n_dynamic.onnx": "needs that file; tests/test_pulling.py has its like",
}
BEFORE = {"plot": ["mien analyze talk.mp4 --out talk.jsonl"]}
"""What has to be typed before a verb's examples."""


def leaves(command, path=()):
    for verb, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from leaves(child, (*path, verb))
        else:
            yield " ".join((*path, verb)), child


MIEN = typer.main.get_command(app)
VERBS = dict(leaves(MIEN))
EVERY = ["", "data", "models", *VERBS]


def told(run, verb: str) -> str:
    done = run(*verb.split(), "--help")
    assert (done.status, done.err) == (0, "")
    return done.out


def shown_examples(text: str) -> list[str]:
    """Return the examples as they stand in the help that was printed."""
    return [line.strip() for line in text.partition("\nExamples:\n")[2].splitlines() if line.strip()]


def test_help_is_whole_in_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for verb in EVERY:
        text = told(run, verb)
        assert max(map(len, text.splitlines())) <= 80, verb
        assert not re.search(r"…$|\.\.\.$|[│╭<>]|\N{NO-BREAK SPACE}", text.partition("\n")[2], re.MULTILINE), verb
        assert all(line.count("`") % 2 == 0 for line in text.splitlines()), f"{verb}: a command is broken"
        command = VERBS.get(verb)
        if command is not None:
            shown = shown_examples(text)
            assert 1 <= len(shown) <= 3
            assert shown == examples(command.help)
            assert len(prose(command.help).partition("\n\n")[0]) <= 72, f"{verb}: its first line is long"
            for option in (name for parameter in command.params for name in parameter.opts if name.startswith("--")):
                assert re.search(rf"^  (?:-.*)?{option}\b", text, re.MULTILINE), f"{verb} {option}"
            assert all(parameter.help for parameter in command.params), verb


def test_all_verbs_are_told_of_with_a_line_each(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = told(run, "")
    for verb, command in MIEN.commands.items():
        assert re.search(rf"^  {verb} +{re.escape(prose(command.help)[:30])}", text, re.MULTILINE)
    headings = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert headings == ["Read faces", "Make a model", "Measure a model", "What is there", "Options", "Examples"]


def test_options_that_belong_together_stand_together(run):
    text = told(run, "analyze")
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == [
        "Arguments", "Options", "Results", "How faces are read", "Films", "Many inputs", "Many cores and machines",
        "Examples",
    ]  # fmt: skip
    results = text.partition("\nResults:\n")[2].partition("\nHow faces are read:\n")[0]
    assert all(option in results for option in ("--out", "--crops", "--blur", "--overwrite"))


def test_every_example_can_be_typed():
    for verb, command in VERBS.items():
        for line in examples(command.help):
            check(line)
            assert line.startswith((f"mien {verb}", "curl ")) or line in NOT_RUN, line
    for line in examples(MIEN.help):
        check(line)
    assert set(NOT_RUN) <= {line for command in VERBS.values() for line in examples(command.help)}


@pytest.fixture
def reader(cast, run, tmp_path, monkeypatch):  # noqa: F811
    folder = tmp_path / "here"
    shutil.copytree(cast, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    reader = Reader(folder, run)
    yield reader
    reader.leave()


def type_examples(reader, run, verb: str) -> None:
    for line in [*BEFORE.get(verb, ()), *shown_examples(told(run, verb))]:
        if line not in NOT_RUN:
            reader._command(line, f"mien {verb} --help: {line}")


@pytest.mark.slow
@pytest.mark.parametrize("verb", [*CHEAP, *OF_FILMS])
def test_examples_run(reader, run, verb):
    type_examples(reader, run, verb)


def one_face(picture: Path) -> Image.Image:
    """Return the part of a picture about its largest face."""
    with Image.open(picture) as image:
        x1, y1, x2, y2 = max((face.box for face in mien.analyze(picture).faces), key=lambda box: box[2] - box[0])
        side = (x2 - x1) / 2
        return (
            image.convert("RGB")
            .crop((int(x1 - side), int(y1 - side), int(x2 + side), int(y2 + side)))
            .resize((400, 400))
        )


@pytest.mark.slow
def test_the_other_examples_run_one_after_the_other(reader, run, shared, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra train")
    from webserver import picture, running_web

    here = reader.folder
    published(here, shared)
    (here / "mine.onnx").unlink()
    (here / "key.txt").write_text("a-key-that-is-long-enough", "utf-8")
    (here / "queries.toml").write_text('[[query]]\nlabel = "happy"\nwords = ["happy"]\n', "utf-8")
    (here / "photos" / "happy").mkdir()
    shutil.copy(EXAMPLES / "astronaut.jpg", here / "photos" / "happy")
    done = set()

    def typed(*verbs: str) -> None:
        for verb in verbs:
            type_examples(reader, run, verb)
            done.add(verb)

    typed("data unpack-fer", "data import", "data stats", "data split", "data merge")
    with running_web() as web:
        urls = [web.serve(f"/{number}.jpg", picture(number)) for number in range(8)]
        for text in ("angry human face", "happy human face"):
            web.openverse(text, *urls[:4])
            web.wikimedia(text, *urls[4:])
        for name, value in web.environment.items():
            monkeypatch.setenv(name, value)
        for line in shown_examples(told(run, "collect")):
            reader._command(f"{line} --allow-private --delay 0", line)
        done.add("collect")
    shutil.rmtree(here / "web")
    for label, name in (("happy", "astronaut.jpg"), ("neutral", "three_people.jpg")):
        (here / "web" / label).mkdir(parents=True)
        one_face(EXAMPLES / name).save(here / "web" / label / "1.png")
    typed("clean", "train", "export", "evaluate", "compare", "models compress", "bench", "serve")
    assert {*done, *CHEAP, *OF_FILMS, "models pull"} == {"", *VERBS}


# --- slips


def test_without_arguments_the_help_is_shown(run):
    done = run()
    assert done.status == 2
    assert done.out + done.err == told(run, "")
    for group in ("data", "models"):
        assert "Examples" not in run(group).err and f"mien {group} [OPTIONS]" in run(group).err


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["analyse", "photo.jpg"], "Error: No such command 'analyse'. Did you mean 'analyze'?"),
        (["data", "stat"], "Error: No such command 'stat'. Did you mean 'stats'?"),
        (["analyze", "--emotion", "five", "a.jpg"], "Error: No such option: --emotion"),
        (["analyze", "--emotions", "four", "a.jpg"], "'four' is not one of 'three', 'five', 'seven', 'eight'."),
        (["plot"], "Error: Missing argument 'RESULTS'."),
        (["collect", "five"], "Error: Missing option '--out' / '-o'."),
        (["bench", "--runs", "0"], "Invalid value for '--runs'"),
    ],
)
def test_a_slip_is_named_with_the_way_on(run, typed, answer):
    done = run(*typed)
    assert (done.status, done.out) == (2, "")
    usage, advice, *_ = done.err.splitlines()
    verb = " ".join(word for word in typed[:1] if word in ("analyze", "plot", "collect", "bench", "data"))
    assert usage.startswith(f"Usage: mien {verb}".rstrip())
    assert re.fullmatch(r"Try 'mien.* --help' for help\.", advice)
    assert answer in done.err
    assert "--emotions" in done.err or "--emotion" not in typed


def test_pages_of_the_reference_have_the_examples():
    import sys

    sys.path.insert(0, str(ROOT / "scripts"))
    from reference_pages import command_line

    text = command_line()
    for command in VERBS.values():
        assert "```sh\n" + "\n".join(examples(command.help)) + "\n```" in text
