"""Results as a Parquet table: the columns of the CSV, with types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mien.emotions import Emotion
from mien.errors import MissingExtraError, OutputError
from mien.results import SCHEMA, Frame, Result, columns
from mien.whole import Partial, writing

_GROUP = 4096  # rows that are held and then written together
_TYPES = {
    **dict.fromkeys(("source", "model", "emotion", "error"), "string"),
    **dict.fromkeys(("schema", "width", "height", "face"), "int32"),
    **dict.fromkeys(("frame", "track"), "int64"),
}  # all others are float64


def table_schema(emotions: Sequence[Emotion]) -> Any:
    """Return pyarrow's schema of a table of results whose scores are over `emotions`.

    Raises:
        MissingExtraError: pyarrow is not installed.

    """
    arrow, version = _arrow(), import_module("mien").__version__  # by its name: what it offers stands above this room
    return arrow.schema(
        [(name, arrow.type_for_alias(_TYPES.get(name, "float64"))) for name in columns(emotions)],
        metadata={"mien.schema": str(SCHEMA), "mien.version": version},
    )


def table(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    """Return the rows of `Result.to_rows` as a table of pyarrow."""
    return _arrow().table({name: [_text(row.get(name)) for row in rows] for name in schema.names}, schema=schema)


def _arrow() -> Any:
    try:
        # by its name only, so that types are checked alike whether it is installed or not
        return import_module("pyarrow")
    except ImportError as error:
        raise MissingExtraError("writing Parquet", "parquet") from error


class Parquet:
    """Writes a row a face, and one with empty face columns for a frame in which nobody is.

    The columns are those of `results.columns`. The file's metadata tell the schema (`mien.schema`) and the version
    of mien that wrote it (`mien.version`). What of a name cannot be text there (bytes that are not UTF-8) is escaped.
    """

    def __init__(self, target: Path, emotions: Sequence[Emotion], *, overwrite: bool = False) -> None:
        """Open the target; what an interrupted run has left beside it is replaced only with `overwrite`.

        Raises:
            OutputError: it cannot be opened.
            MissingExtraError: pyarrow is not installed.

        """
        self._schema = table_schema(emotions)
        self._rows: list[dict[str, Any]] = []
        self._begun = self._failed = False
        self._partial = Partial(target, overwrite=overwrite)
        with writing(target):
            self._file = self._partial.path.open("wb")
            self._writer = import_module("pyarrow.parquet").ParquetWriter(
                self._file, self._schema, compression="zstd"
            )

    @property
    def kept(self) -> Sequence[Path]:
        """The file under its provisional name, once there is something in it."""
        return [self._partial.path] if self._begun and self._partial.path.exists() else []

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a result."""
        self._begun = True
        self._rows += result.to_rows()
        if len(self._rows) >= _GROUP:
            self._flush()

    def close(self, *, complete: bool = True) -> None:
        """Finish the file and, where it is complete, give it its final name; if not, keep it only for its records."""
        if self._failed:
            return
        self._flush()
        try:
            with writing(self._partial.final):
                self._writer.close()
                self._file.close()
        except OutputError:
            self._give_up()
            raise
        if complete:
            self._partial.promote()
        elif not self._begun:
            self._partial.discard()

    def _flush(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        try:
            with writing(self._partial.final):
                self._writer.write_table(table(rows, self._schema))
        except OutputError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Remove the file: without its end nothing of it can be read."""
        self._failed = True
        for step in (self._writer.close, self._file.close, self._partial.discard):
            with suppress(OSError, OutputError):
                step()


def _text(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
