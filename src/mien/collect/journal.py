"""What was asked and tried, a line each, so that a run that is ended at any moment goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from mien.collect.collection import JOURNAL, read_lines
from mien.collect.pictures import REMOVED, Stored
from mien.collect.providers.protocol import Found, Page
from mien.errors import DataError, UsageError

try:
    import fcntl
except ImportError:  # on Windows, where nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a URL: the picture that is stored, or the reason why there is none; and when, in UTC."""

    stored: Stored | None
    reason: str
    time: str


class Journal:
    """The journal of a collection, held by one run at a time.

    Attributes:
        pages: of results, by provider and text, in their order.
        outcomes: by URL.
        known: sha256 by URL, of all pictures that were ever stored.
        removed: sha256 of the pictures that someone asked to delete.

    """

    def __init__(self, folder: Path, *, retry: bool = False) -> None:
        """Read what is there.

        Args:
            folder: the collection's.
            retry: forget what failed.

        Raises:
            DataError: a line is not as it was written.
            OSError: it cannot be read or written.
            UsageError: another run is at work in the folder.

        """
        self._path = folder / JOURNAL
        self._file = self._open()
        self.pages: dict[tuple[str, str], list[Page]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.known: dict[str, str] = {}
        self.removed: set[str] = set()
        try:
            for number, line in enumerate(read_lines(self._path), start=1):
                self._take(line, f"{self._path}, line {number}")
        except BaseException:
            self._file.close()
            raise
        there = _sizes(folder)
        self.outcomes = {
            url: outcome
            for url, outcome in self.outcomes.items()
            if (
                not retry or outcome.reason == REMOVED
                if outcome.stored is None
                else there.get(outcome.stored.file) == outcome.stored.size
            )
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add_page(self, provider: str, text: str, page: Page) -> None:
        """Note a page of results, the next one of this provider for this text."""
        results = [{key: value for key, value in asdict(found).items() if value} for found in page.results]
        self._write(
            {"provider": provider, "text": text, "following": page.following, "results": results, "time": now()}
        )
        self.pages.setdefault((provider, text), []).append(page)

    def add_outcome(self, url: str, outcome: Outcome) -> None:
        """Note what came of a URL."""
        what = {"reason": outcome.reason} if outcome.stored is None else asdict(outcome.stored)
        # what cannot be written is not known: provenance must not say more than the journal
        self._write({"url": url, **what, "time": outcome.time})
        self._learn(url, outcome)

    def _open(self) -> IO[bytes]:
        file = self._path.open("a+b")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            whole, end, torn = file.read().rpartition(b"\n")
            if torn:  # the line that was being written when the last run was ended
                file.truncate(len(whole) + len(end))
        except BlockingIOError as error:
            file.close()
            raise UsageError(f"{self._path.parent}: another run is collecting into this folder") from error
        except BaseException:
            file.close()
            raise
        return file

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _take(self, line: dict[str, Any], where: str) -> None:
        try:
            if "results" in line:
                results = tuple(Found(**found) for found in line["results"])
                said = (text for found in results for text in asdict(found).values())
                provider, text, *_ = map(_text, (line["provider"], line["text"], *said))
                following = None if line["following"] is None else _text(line["following"])
                self.pages.setdefault((provider, text), []).append(Page(results, following))
            else:
                stored = None
                if "sha256" in line:
                    file, sha256, *numbers = (line[key] for key in ("file", "sha256", "size", "width", "height"))
                    if not all(type(number) is int for number in numbers):
                        raise TypeError("a size is no whole number")
                    stored = Stored(_text(file), _text(sha256), *numbers)
                self._learn(_text(line["url"]), Outcome(stored, _text(line.get("reason", "")), _text(line["time"])))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: it is not as `mien collect` writes it ({error})") from error

    def _learn(self, url: str, outcome: Outcome) -> None:
        self.outcomes[url] = outcome
        if outcome.stored is not None:
            self.known[url] = outcome.stored.sha256
        elif outcome.reason == REMOVED and url in self.known:
            self.removed.add(self.known[url])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    value.encode()  # half of a letter, which JSON can hold, can be neither sent nor written
    return value


def now() -> str:
    """Return the time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _sizes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in (folder / "pictures").glob("*/*") if path.is_file())
