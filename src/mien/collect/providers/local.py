"""A folder of pictures that are there already: one folder a label, or names with the words in them."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote

from mien.collect.failures import FetchError
from mien.collect.licences import OWN
from mien.collect.providers.protocol import Found, Page, as_text
from mien.collect.queries import Query
from mien.errors import SourceError, UsageError
from mien.sources import find_pictures
from mien.sources.folder import SUFFIXES

_WORD = re.compile(r"[^\W_]+")


class Local:
    """Someone's own pictures: no licence is asked for."""

    name = "local"

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        """List the pictures, those in folders of the folder too.

        Raises:
            UsageError: there is no such folder, or no picture is in it.

        """
        self._folder, self._max_bytes = folder.resolve(), max_bytes
        try:
            found = find_pictures(self._folder, recursive=True)
        except SourceError as error:
            raise UsageError(f"--from {folder}: {str(error).partition(': ')[2] or error}") from error
        # where the folder lies on this machine is nobody's business who gets the data set
        self._pictures = {
            "local:" + quote(os.fsencode(path.relative_to(self._folder).as_posix())): path
            for path in found
            if path.suffix.lower() in SUFFIXES
        }

    async def search(self, query: Query, text: str, following: str | None) -> Page:
        """Return the pictures in the folder of the label, or else those with all words of `query` in their names."""
        label = _composed(query.label)
        chosen = {url: path for url, path in self._pictures.items() if self._class(path) == label}
        if not chosen:
            words = _words(query.word)
            chosen = {url: path for url, path in self._pictures.items() if words <= _words(path.stem)}
        results = (Found(url, title=as_text(path.name), licence=OWN) for url, path in chosen.items())
        return Page(tuple(results), None)

    def _class(self, path: Path) -> str:
        """Return the folder within the folder that a picture is in."""
        *folders, _ = path.relative_to(self._folder).parts
        return _composed(folders[0]) if folders else ""

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a picture in the folder."""
        return await asyncio.to_thread(self._read, url)

    def _read(self, url: str) -> bytes:
        path = self._pictures.get(url)
        if path is None:
            raise FetchError("not found")
        try:
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except FileNotFoundError as error:
            raise FetchError("not found") from error
        except OSError as error:
            raise FetchError("not read", error.strerror or str(error)) from error
        if len(content) > self._max_bytes:
            raise FetchError("too large", f"more than {self._max_bytes / 1e6:g} million bytes")
        return content


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_composed(text).casefold()))


def _composed(text: str) -> str:
    """Return `text` with letters and their accents as one, which some systems take apart in names."""
    return normalize("NFC", text)
