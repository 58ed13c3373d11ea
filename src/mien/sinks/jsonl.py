"""Results as JSON Lines: one record a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from mien.errors import OutputError
from mien.results import Frame, Result


class JsonLines:
    """Writes records to a file, which takes its final name on `close`, or to an open stream."""

    def __init__(self, target: Path | TextIO, *, overwrite: bool = False) -> None:
        """Open the target; what an interrupted run has left beside it is replaced only with `overwrite`.

        Raises:
            OutputError: it cannot be opened.

        """
        self._final: Path | None = None
        if not isinstance(target, Path):
            self._name, self._stream = "standard output", target
            return
        self._name, self._final = str(target), target
        self._partial = target.with_name(target.name + ".partial")
        if self._partial.exists() and not overwrite:
            raise OutputError(f"{self._partial}: left by an interrupted run; move it away or pass --overwrite")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._partial.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a record."""
        try:
            self._stream.write(json.dumps(result.to_record(), allow_nan=False) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            kept = f"; the records so far are in {self._partial}" if self._final else ""
            raise OutputError(f"{self._name}: cannot be written ({error.strerror or error}){kept}") from error

    def close(self, *, complete: bool = True) -> None:
        """Close the file and, where it is complete, give it its final name; if not, keep it only for its records."""
        if self._final is None:
            return
        try:
            self._stream.close()
            if complete:
                self._partial.replace(self._final)
            elif self._partial.stat().st_size == 0:
                self._partial.unlink()
        except OSError as error:
            raise OutputError(f"{self._name}: cannot be written ({error.strerror or error})") from error
