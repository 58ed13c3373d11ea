"""What docs/collecting.md tells to type does what it says, on a web on this machine."""

import re
import shlex

import pytest
import typer

pytest.importorskip("httpx", reason="needs the extra collect")

from mien.cli import app
from mien.collect.collection import Collected, read_collection
from mien.collect.queries import parse_queries

from conftest import ROOT
from webserver import picture, running_web

PAGE = (ROOT / "docs" / "collecting.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines() if "mien collect" in line]


@pytest.fixture(scope="module")
def web():
    with running_web() as running:
        urls = [running.serve(f"/{number}.jpg", picture(number)) for number in range(12)]
        for text in ("angry human face", "happy human face", "sad face", "fröhliches Gesicht", "tench"):
            running.openverse(text, *urls[:8])
            running.wikimedia(text, *urls[4:])
        yield running


@pytest.mark.parametrize("line", [line for line in LINES if "--imagenet" not in line])
def test_commands(line, web, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in web.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "queries.toml").write_text(blocks("toml")[0], "utf-8")
    (tmp_path / "photos" / "happy").mkdir(parents=True)
    (tmp_path / "photos" / "happy" / "me.jpg").write_bytes(picture(99))
    variables, _, command = line.partition("mien ")
    assert variables in ("", "MIEN_OPENVERSE_URL=http://127.0.0.1:8000/v1 ")
    options = [] if "--allow-private" in command else ["--allow-private"]
    if "--remove" in command:
        assert run("collect", "queries.toml", "--out", "web", *options, "--delay", "0", "--limit", "8").status == 0
    done = run(*shlex.split(command), *options, "--delay", "0")
    assert done.status == 0, done.err
    out = re.search(r"--out (\S+)", command)[1]
    assert read_collection(tmp_path / out)


def test_what_is_named_exists():
    command = typer.main.get_command(app).commands["collect"]
    options = {option for parameter in command.params for option in parameter.opts}
    for line in LINES:
        command.make_context("collect", shlex.split(line.partition("mien collect ")[2]))
    assert set(re.findall(r"`(--[a-z-]+)[`= ]", PAGE)) <= options
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "mien").glob("c*/**/*.py"))
    assert all(name in source for name in re.findall(r"MIEN_[A-Z_]+", PAGE))
    for field in Collected.__dataclass_fields__:
        assert field in PAGE
    queries = parse_queries(blocks("toml")[0], "the page's")
    assert [query.limit for query in queries] == [200, 50, 100, 50]


def test_links_and_lengths():
    assert all((ROOT / "docs" / target).exists() for target in re.findall(r"\]\(([^)]+)\)", PAGE))
    assert max(len(line) for line in PAGE.splitlines() if not line.startswith("|")) <= 120
