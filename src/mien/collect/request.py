"""What is asked for, and whether a folder was collected for it: what is there is never made into something else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from mien.collect.collection import JOURNAL, PICTURES, PROVENANCE, QUERIES
from mien.collect.journal import Journal
from mien.collect.licences import Licences
from mien.collect.queries import REQUEST, Query, parse_queries, write_queries
from mien.errors import DataError, UsageError

_FILES = frozenset({QUERIES, PROVENANCE, JOURNAL, PICTURES, *(f"{name}.partial" for name in (QUERIES, PROVENANCE))})
_SHA256 = re.compile(rb'"sha256":\s*"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        queries: grouped by label.
        providers: names, in the order in which results are taken in turn.
        licences: that are wanted.
        contact: an address that is sent with each request; only folders can do without.
        source: the folder of the provider `local`.

    """

    queries: tuple[Query, ...]
    providers: tuple[str, ...]
    licences: Licences = field(default_factory=Licences)
    contact: str | None = None
    source: Path | None = None

    def to_toml(self) -> str:
        """Return the queries, and how they are asked, as a collection keeps them."""
        return write_queries(self.queries, self._asked())

    def goes_on_with(self, text: str, name: str) -> bool:
        """Return whether it asks for what the TOML `text`, which messages call `name`, asked for, and maybe for more.

        Raises:
            UsageError: it is not in the form.

        """
        before = {(query.label, query.word): query for query in parse_queries(text, name)}
        after = {(query.label, query.word): query for query in self.queries}
        covered = all(
            key in after and after[key].phrases == query.phrases and after[key].limit >= query.limit
            for key, query in before.items()
        )
        return covered and bool(tomllib.loads(text).get(REQUEST) == self._asked())

    def _asked(self) -> dict[str, str | bool | list[str]]:
        return {
            "providers": list(self.providers),
            "licence": ",".join(self.licences.wanted),
            "allow_unknown_licence": self.licences.unknown,
            "from": "" if self.source is None else str(self.source.resolve()),
        }


def check_folder(folder: Path, request: Request) -> None:
    """Check that a folder is empty, or holds what was collected for this request or a part of it.

    Raises:
        UsageError: it is something else.

    """
    path = folder / QUERIES
    if not path.exists():
        # a run may have been ended before it wrote what was asked
        foreign = folder.is_dir() and any(entry.name not in _FILES for entry in folder.iterdir())
        if foreign or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"{folder}: it is there, and no collection; name another folder")
        return
    try:
        same = request.goes_on_with(path.read_text("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8") from error
    if not same:
        raise UsageError(
            f"{folder}: it was collected for something else, as {path.name} in it says; give the same queries, "
            "limits, providers and licences or more queries and pictures, or name another folder"
        )


def check_journal(folder: Path, journal: Journal | None) -> None:
    """Check that the journal, None where there is none, accounts for what is there: provenance is made from it anew.

    Raises:
        DataError: a line of provenance, or all pictures, would be lost.

    """
    known: Collection[str] = ()
    if journal is not None:
        listed = {found.url for pages in journal.pages.values() for page in pages for found in page.results}
        known = {sha256 for url, sha256 in journal.known.items() if url in listed}
    path = folder / PROVENANCE
    # as bytes: a damaged line is mended from the journal
    told = {sha256.decode() for sha256 in _SHA256.findall(path.read_bytes())} if path.exists() else set()
    lost = len(told.difference(known))
    if journal is None or not journal.pages:
        lost += not told and any((folder / PICTURES).glob("??/*"))
    if lost:
        raise DataError(
            f"{folder}: {JOURNAL} is missing or not whole, and without it the collection cannot be gone on with; "
            "what is there stays as it is, and `mien clean` takes it: name another folder for more"
        )
