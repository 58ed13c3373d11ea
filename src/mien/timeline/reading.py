"""Files of records that mien wrote → Results, one by one, so that memory stays flat."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mien.errors import DataError, MissingExtraError, UsageError
from mien.results import Result

_Records = Iterator[tuple[str, Any]]
"""Where in the file, and what stands there."""

_CHUNK = 1 << 16  # characters of a JSON document
_ROWS = 4096  # of a Parquet file
_BETWEEN = re.compile(r"[\s,\[]*")


def read_results(path: str | Path) -> Iterator[Result]:
    """Yield the results in a file that `mien analyze` wrote: .jsonl, .json, .csv or .parquet, which may be a folder.

    Of what an interrupted run left (NAME.jsonl.partial) the half record at the end is passed over. The rows of a
    frame in a table must follow one another, as they were written.

    Raises:
        UsageError: the name is not that of such a file.
        DataError: it cannot be read, or something in it is no record of mien; the message says where.
        MissingExtraError: the file is Parquet, and pyarrow is not installed.

    """
    path = Path(path)
    partial = path.suffix.lower() == ".partial"
    suffix = Path(path.stem if partial else path.name).suffix.lower()
    if suffix not in _READERS:
        raise UsageError(
            f"{path}: not a file of results: name a {', '.join(_READERS)} that `mien analyze --out` has written"
        )
    empty = True
    try:
        for where, record in _READERS[suffix](path, partial):
            yield _result(path, where, record)
            empty = False
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _FormError as error:
        raise DataError(f"{path}, {error.where}: not a record of mien: {error}") from error
    if empty:
        raise DataError(f"{path}: there are no results in it")


def _result(path: Path, where: str, record: Any) -> Result:
    if not isinstance(record, Mapping):
        raise DataError(f"{path}, {where}: not a record of mien: it is no object")
    try:
        return Result.from_record(record)
    except DataError as error:
        raise DataError(f"{path}, {where}: {error}") from error


class _FormError(Exception):
    """Something in the file is not in its form."""

    def __init__(self, where: str, why: object) -> None:
        super().__init__(why)
        self.where = where


def _lines(path: Path, partial: bool) -> Iterator[str]:
    """Yield lines; of a partial file not the last, where it does not end."""
    # the byte order mark is what spreadsheets put before a table
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for line in file:
            if not (partial and not line.endswith("\n")):
                yield line


def _json_lines(path: Path, partial: bool) -> _Records:
    for number, line in enumerate(_lines(path, partial), start=1):
        if line.strip():
            where = f"line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _FormError(where, _why(error)) from error


def _json(path: Path, partial: bool) -> _Records:
    """Yield the members of a list without ever holding all of it."""
    decode = json.JSONDecoder().raw_decode
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        text, at, line = "", 0, 1
        while True:
            begin = at
            if between := _BETWEEN.match(text, at):
                at = between.end()
            line += text.count("\n", begin, at)
            try:
                record, end = decode(text, at)
            except (ValueError, RecursionError) as error:
                left = text[at:]
                # twice as much each time, so that a long record is not begun again and again
                if more := file.read(max(_CHUNK, len(left))):
                    text, at = left + more, 0
                    continue
                if partial or not left or left.startswith("]"):
                    return
                raise _FormError(f"line {line}", _why(error)) from error
            yield f"line {line}", record
            line += text.count("\n", at, end)
            at = end


def _csv(path: Path, partial: bool) -> _Records:
    reader = csv.reader(_lines(path, partial))
    try:
        heads = next(reader, [])
    except csv.Error as error:
        raise _FormError("line 1", error) from error

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            for cells in reader:
                if cells and len(cells) != len(heads):
                    raise _FormError(f"line {reader.line_num}", f"{len(cells)} cells below {len(heads)} columns")
                if cells:
                    yield f"line {reader.line_num}", dict(zip(heads, cells, strict=True))
        except csv.Error as error:
            raise _FormError(f"line {reader.line_num}", error) from error

    return _frames(rows())


def _parquet(path: Path, partial: bool) -> _Records:
    try:
        arrow, tables = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "parquet") from error

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        number = 0
        for file in sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]:
            with file.open("rb") as stream:
                try:
                    for batch in tables.ParquetFile(stream).iter_batches(_ROWS):
                        for row in batch.to_pylist():
                            number += 1
                            yield f"row {number}", row
                except arrow.ArrowException as error:
                    raise _FormError(f"row {number + 1}", str(error).partition("\n")[0]) from error

    return _frames(rows())


_READERS: Mapping[str, Callable[[Path, bool], _Records]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _frames(rows: Iterable[tuple[str, dict[str, Any]]]) -> _Records:
    """Yield the records of frames of which `rows` are those of their faces."""

    def frame(located: tuple[str, dict[str, Any]]) -> tuple[Any, Any]:
        where, row = located
        if missing := [name for name in ("source", "frame", "time") if name not in row]:
            raise _FormError(where, f"there is no column {missing[0]!r}")
        return row["source"], row["frame"]

    for _, group in itertools.groupby(rows, key=frame):
        where, row = next(group)
        cells = {name: _cell(value) for name, value in row.items()}
        record = {name: cells.get(name) for name in ("frame", "time", "width", "height", "model", "error")}
        faces = [
            _face(row) for row in (cells, *(dict(zip(r, map(_cell, r.values()), strict=True)) for _, r in group))
        ]
        yield where, {**record, "source": row["source"], "faces": [face for face in faces if face["scores"]]}


def _cell(value: Any) -> Any:
    """Return what a cell holds; None for an empty one, and for the NaN by which pandas writes that."""
    return None if value == "" or value != value else value


def _face(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "box": [row.get(edge) for edge in ("x1", "y1", "x2", "y2")],
        "detection": row.get("detection"),
        "track": row.get("track"),
        "scores": _scores(row, "score_"),
        "smoothed": _scores(row, "smoothed_") or None,
    }


def _scores(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in row.items()
        if name.startswith(prefix) and value is not None
    }


def _why(error: Exception) -> str:
    return getattr(error, "msg", None) or str(error) or type(error).__name__
