"""docs/scale.md says what the code does."""

import re

import pytest

from mien.cluster import ledger, tasks
from mien.sources import SEGMENT

from conftest import ROOT


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_its_numbers_are_those_of_the_code(page):
    assert f"{ledger._FULL:,} pictures, or {ledger._FULL // ledger._FILM} films" in page
    assert f"**Tasks** are {tasks.PICTURES} pictures" in page
    assert f"k × {SEGMENT:g} seconds" in page
    assert f"{1_000_000 // tasks.PICTURES // 1000},000 for a million pictures" in page


def test_its_commands_have_the_options_that_there_are(page, run):
    options = set(re.findall(r"--[a-z-]+", "\n".join(re.findall(r"^mien .*", page, re.MULTILINE))))
    assert {"--engine", "--address", "--out", "--recursive"} <= options
    told = run("analyze", "--help").out
    assert all(option in told for option in options)
