"""Results as records: JSON Lines, one JSON list, or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

from mien.emotions import Emotion
from mien.results import Frame, Result, columns
from mien.whole import Partial, writing


class Format(Protocol):
    """How results are written down."""

    def head(self) -> str:
        """Return what stands before the first result."""
        ...

    @property
    def between(self) -> str:
        """What stands between two results."""
        ...

    def text(self, result: Result) -> str:
        """Return one result."""
        ...

    def tail(self) -> str:
        """Return what stands after the last result."""
        ...


class JsonLines:
    """One record a line: what was written before an interruption can be read."""

    between = ""

    def head(self) -> str:
        """Nothing."""
        return ""

    def text(self, result: Result) -> str:
        """Return the record and a line break."""
        return json.dumps(result.to_record(), allow_nan=False) + "\n"

    def tail(self) -> str:
        """Nothing."""
        return ""


class JsonList:
    """One list of all records, for readers that take a whole document."""

    between = ","

    def head(self) -> str:
        """Open the list."""
        return "["

    def text(self, result: Result) -> str:
        """Return the record on a line of its own."""
        return f"\n{json.dumps(result.to_record(), allow_nan=False)}"

    def tail(self) -> str:
        """Close the list."""
        return "\n]\n"


class Csv:
    """One row a face, and one with empty face columns for a frame in which nobody is."""

    between = ""

    def __init__(self, emotions: Sequence[Emotion]) -> None:
        self._columns = columns(emotions)

    def head(self) -> str:
        """Return the names of the columns."""
        return self._rows([dict(zip(self._columns, self._columns, strict=True))])

    def text(self, result: Result) -> str:
        """Return the rows of a result."""
        return self._rows(result.to_rows())

    def tail(self) -> str:
        """Nothing."""
        return ""

    def _rows(self, rows: Sequence[dict[str, object]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="").writerows(rows)
        return text.getvalue()


class Records:
    """Writes results to a file, which takes its final name on `close`, or to an open stream."""

    def __init__(
        self, target: Path | TextIO, form: Format, *, overwrite: bool = False, after: int | None = None
    ) -> None:
        """Open the target; what an interrupted run has left beside it is replaced only with `overwrite`.

        Args:
            target: a file, or an open stream.
            form: how results are written down.
            overwrite: replace what an interrupted run has left.
            after: go on with what it has left, after so many bytes of it; the rest is dropped.

        Raises:
            OutputError: it cannot be opened.

        """
        self._form = form
        self._begun = bool(after)
        self._partial: Partial | None = None
        if not isinstance(target, Path):
            self._name, self._stream = "standard output", target
            return
        self._name, self._partial = str(target), Partial(target, overwrite=overwrite or after is not None)
        with writing(target):
            self._stream = self._partial.path.open(
                "a" if after else "w", encoding="utf-8", errors="surrogateescape", newline=""
            )
            if after:
                self._stream.truncate(after)

    @property
    def kept(self) -> Sequence[Path]:
        """The file under its provisional name, once there is something in it."""
        there = self._partial is not None and self._begun and self._partial.path.exists()
        return [self._partial.path] if there and self._partial is not None else []

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a result."""
        self._append((self._form.between if self._begun else self._form.head()) + self._form.text(result))
        self._begun = True

    def close(self, *, complete: bool = True) -> None:
        """Finish the file and, where it is complete, give it its final name; if not, keep it only for its records."""
        if complete and not self._begun:
            self._append(self._form.head())
            self._begun = True
        try:
            if self._begun:
                self._append(self._form.tail())
        finally:
            if self._partial is not None:
                self._close_file(self._partial, complete=complete)

    def _append(self, text: str) -> None:
        with writing(self._name, f"; the records so far are in {self._partial.path}" if self._partial else ""):
            self._stream.write(text)
            self._stream.flush()

    def _close_file(self, partial: Partial, *, complete: bool) -> None:
        with writing(self._name):
            self._stream.close()
        if complete:
            partial.promote()
        elif not self._begun:
            partial.discard()
