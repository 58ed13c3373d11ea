"""docs/training.md shows the whole road, and every recipe; tests/test_docs.py parses its commands."""

import re
import shlex

import typer

from mien.cli import app
from mien.training.recipe import recipe_names

from conftest import ROOT
from pages import Page

PAGE = Page(ROOT / "docs" / "training.md")


def commands() -> list[str]:
    """Return the lines of the page's shell blocks."""
    return [line for block in PAGE.blocks() if block.language == "sh" for line in block.commands]


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
    text = PAGE.text
    for option in ("--set", "--resume", "--init", "--teacher", "--overfit", "--devices", "--half", "--int8", "--by"):
        assert option in text
