"""A Parquet file that is made at the end, from JSON Lines, which can be continued where a Parquet file cannot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from mien.emotions import Emotion
from mien.errors import MissingExtraError
from mien.results import Frame, Result
from mien.sinks.parquet import Parquet
from mien.sinks.records import JsonLines, Records


def rows_name(target: Path) -> Path:
    """Return the name of the JSON Lines from which `target` is made: with .partial added, since it is never whole."""
    return target.with_name(target.name + ".jsonl")


class DeferredParquet:
    """Writes the rows of `Parquet` when it is closed: until then they are in NAME.parquet.jsonl.partial."""

    def __init__(
        self, target: Path, emotions: Sequence[Emotion], *, overwrite: bool = False, after: int | None = None
    ) -> None:
        """Open the JSON Lines.

        Args:
            target: the Parquet file.
            emotions: of the scores.
            overwrite: replace what an interrupted run has left.
            after: go on with what it has left, after so many bytes of the JSON Lines.

        Raises:
            OutputError: they cannot be opened.
            MissingExtraError: pyarrow is not installed.

        """
        if find_spec("pyarrow") is None:
            raise MissingExtraError("writing Parquet", "parquet")
        self._target, self._emotions = target, emotions
        self._rows = rows_name(target)
        self._records = Records(self._rows, JsonLines(), overwrite=overwrite, after=after)

    @property
    def kept(self) -> Sequence[Path]:
        """The JSON Lines, once there is something in them."""
        return self._records.kept

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a result."""
        self._records.write(result, frame)

    def close(self, *, complete: bool = True) -> None:
        """Make the Parquet file, where it is complete, and remove the JSON Lines."""
        kept = self._records.kept
        self._records.close(complete=False)
        if not complete:
            return
        parquet = Parquet(self._target, self._emotions, overwrite=True)
        try:
            for path in kept:
                with path.open(encoding="utf-8") as lines:
                    for line in lines:
                        parquet.write(Result.from_record(json.loads(line)), None)
        except BaseException:
            with closing(parquet):
                raise
        parquet.close()
        for path in kept:
            path.unlink(missing_ok=True)
