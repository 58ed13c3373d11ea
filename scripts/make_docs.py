"""docs/ → site/: the pages, those of the root, and the generated reference, built strictly by Zensical.

    python scripts/make_docs.py [SITE]

A dead link, a missing page, or anything that a page would ask of another host ends it with a list of all of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import card_page
from check_site import faults
from reference_pages import command_line, rest

ROOT = Path(__file__).resolve().parent.parent
DOCS = Path("docs")
OF_THE_ROOT = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "RESPONSIBLE_USE.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/NOTES.md",
)
"""Pages that stand at the root of the repository, and in project/ on the site."""

GENERATED: dict[str, Callable[[], str]] = {
    "command line": command_line,
    "rest": rest,
    "model card": card_page.card,
    "robustness": card_page.robustness,
    "confusion": card_page.confusion,
    "parts": card_page.parts,
    "faults": card_page.faults,
    "examples": card_page.examples,
}
"""What takes the place of <!-- generated: NAME -->."""

_FENCE = re.compile(r"(^ *(```+).*?^ *\2 *$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)


def main() -> None:
    if not all(map(_there, ("zensical", "mkdocstrings"))):
        sys.exit("the site needs an optional part: pip install 'mien[docs]'")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "site", help="a folder, which is replaced")
    site: Path = parser.parse_args().site
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        assemble(work)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        built = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        if built.returncode:
            told = re.sub(r"\x1b\[[\d;]*m", "", built.stdout + built.stderr)
            sys.exit(told.partition("Traceback")[0].strip() or told)
        if found := faults(work / "site"):
            sys.exit("\n".join(found))
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(work / "site", site)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages")


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it is known to be missing
        return False


def assemble(work: Path) -> None:
    """Write the sources of the site, as Zensical wants them, to the folder `work`."""
    shutil.copy(ROOT / "zensical.toml", work)
    pages = {
        DOCS / path.relative_to(ROOT / DOCS): path.relative_to(ROOT / DOCS) for path in ROOT.glob("docs/**/*.md")
    }
    pages |= {Path(name): Path("project", name) for name in OF_THE_ROOT}
    for source, target in pages.items():
        text = (ROOT / source).read_text("utf-8")
        for name, write in GENERATED.items():
            if f"<!-- generated: {name} -->" in text:
                text = text.replace(f"<!-- generated: {name} -->", write())
        page = work / DOCS / target
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_outside_code(text, partial(_moved, source=source, pages=pages, work=work)), "utf-8")
    for path in (ROOT / DOCS / "assets").iterdir():
        (work / DOCS / "assets").mkdir(exist_ok=True)
        shutil.copy(path, work / DOCS / "assets")


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change all of a page but its fenced blocks."""
    parts = _FENCE.split(text)  # prose, block, its fence, prose, …
    return "".join(part if i % 3 == 1 else change(part) for i, part in enumerate(parts) if i % 3 != 2)


def _moved(text: str, source: Path, pages: dict[Path, Path], work: Path) -> str:
    """Return prose without comments, its links pointing to where things are on the site.

    What is no page, such as a picture or a notebook, is copied to where it is linked to.
    """

    def target(match: re.Match[str]) -> str:
        name, hash_, anchor = match[1].partition("#")
        if not name or ":" in name:
            return match[1]
        there = Path(os.path.normpath(source.parent / unquote(name)))
        if (ROOT / there / "README.md").is_file():
            there /= "README.md"
        if there == Path("README.md"):
            there = DOCS / "index.md"
        to = pages.get(there)
        if to is None and (ROOT / there).is_file() and not there.is_relative_to(DOCS / "reference"):
            to = there.relative_to(DOCS) if there.is_relative_to(DOCS) else Path("files") / there
            (work / DOCS / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / there, work / DOCS / to)
        if to is None:
            return match[1]  # dead, as Zensical will say
        return os.path.relpath(to, pages[source].parent) + hash_ + anchor

    return _LINK.sub(target, _COMMENT.sub("", text))


if __name__ == "__main__":
    main()
