"""The commands in docs/training.md are commands of mien: verbs, options, values, recipes and settings exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from mien.cli import app
from mien.training.recipe import ChainRecipe, read_recipe, recipe_names

from conftest import ROOT

PAGE = ROOT / "docs" / "training.md"


def commands() -> list[str]:
    """Return the lines of the page's shell blocks, those that are continued as one."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def parsed(line: str) -> tuple[str, dict[str, object]]:
    """Return the verb of a command and its parameters, as typer reads them."""
    _, *words = shlex.split(line, comments=True)
    command, path = typer.main.get_command(app), []
    while hasattr(command, "commands"):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    return " ".join(path), command.make_context(path[-1], words).params


OURS = [line for line in commands() if line.startswith("mien ")]


def test_the_page_shows_the_whole_road():
    assert all(re.match(r"(mien |pip install |npm pack |python scripts/)", line) for line in commands())
    verbs = {parsed(line)[0] for line in OURS}
    assert verbs == {"data unpack-fer", "data import", "train", "export", "evaluate", "compare", "models card"}
    trained = {parsed(line)[1]["recipe"] for line in OURS if parsed(line)[0] == "train"}
    assert trained == set(recipe_names())
    text = PAGE.read_text("utf-8")
    for option in ("--set", "--resume", "--init", "--teacher", "--overfit", "--devices", "--half", "--int8", "--by"):
        assert option in text


@pytest.mark.parametrize("line", OURS)
def test_every_command_can_be_parsed(line):
    verb, parameters = parsed(line)
    if verb != "train":
        return
    recipe, settings = parameters["recipe"], list(parameters["settings"])
    if isinstance(shipped := read_recipe(recipe), ChainRecipe):
        for setting in settings:
            stage, _, change = setting.partition(".")
            assert stage in shipped.stages
            read_recipe(stage, [change])
    else:
        read_recipe(recipe, settings)
    assert parameters["show"] or parameters["data"] is not None


def test_links_within_the_repository_lead_somewhere():
    text = PAGE.read_text("utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.removeprefix("#") in headings if target.startswith("#") else (PAGE.parent / target).exists()
    for path in re.findall(r"`(notebooks/[^`]+)`", text):
        assert Path(ROOT / path).is_file()
