"""The pages of the documentation: their blocks of code, in the order in which a reader types them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

ELSEWHERE = {
    "docs/cleaning.md": "test_docs_cleaning.py",
    "docs/collecting.md": "test_docs_collecting.py",
    "docs/serving.md": "test_docs_serving.py",
    "docs/training.md": "test_recipes.py",
    "docs/embedded/README.md": "test_training.py",
    "CONTRIBUTING.md": "test_contributing.py",
}
"""Pages whose commands need a world or a night of their own, and the test that runs such; here they are parsed."""

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n)?^(?P<fence>```+)(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = set("|<>;&$*`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins at, and why it is not run, if so."""

    language: str
    code: str
    line: int
    reason: str | None

    @property
    def commands(self) -> list[str]:
        """The lines of a block of shell, those that are continued as one, without empty ones and comments."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


@dataclass(frozen=True)
class Page:
    """A page and its path within the repository."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def slow(self) -> bool:
        return self.text.startswith("<!-- slow:")

    def blocks(self) -> Iterator[Block]:
        for match in _BLOCK.finditer(self.text):
            line = self.text.count("\n", 0, match.start("fence")) + 1
            yield Block(match["language"], match["code"], line, match["reason"])


def pages() -> list[Page]:
    """Return all pages that a reader is led to."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [Page(path) for path in found]


def words(line: str) -> list[str]:
    """Return the words of a command, without the variables before it and what stands after #."""
    split = shlex.split(line, comments=True)
    while split and re.fullmatch(r"[A-Z_]+=.*", split[0]):
        split.pop(0)
    return split


def simple(line: str) -> bool:
    """Return whether a command means the same without a shell."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line.partition(" #")[0])
    return not _SHELL & set(bare) and not re.match(r"[A-Z_]+=", line)
