"""The folder that `mien collect` makes: pictures named by their content, and a line of provenance for each.

`queries.toml` says what was asked. `pictures/ab/ab12….jpg` is a picture, named by the sha256 of its bytes, with the
suffix of their true format. `provenance.jsonl` says where each picture comes from, in a JSON object a line for each
picture of each label. By `journal.jsonl` a run goes on where it was ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mien.errors import DataError

QUERIES = "queries.toml"
PICTURES = "pictures"
PROVENANCE = "provenance.jsonl"
JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Collected:
    """A picture under a label, and where it comes from.

    Texts are empty where the provider does not say.

    Attributes:
        file: the path of the picture in the folder, with slashes.
        sha256: of its bytes, 64 hexadecimal digits.
        size: in bytes.
        width: in pixels, before its EXIF orientation is applied.
        height: the same.
        label: what it was looked for as.
        query: the words that found it.
        provider: the service that named it.
        url: where the bytes come from.
        page: the page on which the picture is shown, for people.
        title: of the picture.
        licence: such as "CC BY-SA 4.0"; empty where it is unknown.
        licence_url: where its text stands.
        author: who made the picture.
        time: of the download, ISO 8601, UTC.

    """

    file: str
    sha256: str
    size: int
    width: int
    height: int
    label: str
    query: str
    provider: str
    url: str
    page: str
    title: str
    licence: str
    licence_url: str
    author: str
    time: str

    def to_json(self) -> str:
        """Return the line of provenance, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read_collection(folder: Path) -> tuple[Collected, ...]:
    """Return what is in a folder that `mien collect` made, finished or not, in the order of its provenance.

    Raises:
        DataError: it is no such folder, or a line of its provenance is not in the layout (the line is named).

    """
    path = Path(folder) / PROVENANCE
    try:
        lines = read_lines(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; a collection is made by `mien collect`") from error
    return tuple(_collected(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1))


def as_lines(collected: Iterable[Collected]) -> bytes:
    """Return the provenance of pictures, a line each."""
    return "".join(f"{line.to_json()}\n" for line in collected).encode()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a file that is only ever appended to; a last line that was cut short is left out.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object (the line is named).
        FileNotFoundError: there is no such file.

    """
    try:
        whole, _, _ = path.read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    objects = []
    for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: it is not JSON ({error})") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}, line {number}: it is not a JSON object")
        objects.append(value)
    return objects


def _collected(line: Mapping[str, Any], where: str) -> Collected:
    values: dict[str, Any] = {}
    for field in fields(Collected):
        value, kind = line.get(field.name), int if field.type == "int" else str
        if type(value) is not kind:
            raise DataError(f"{where}: {field.name} is {'missing' if value is None else f'not {kind.__name__}'}")
        values[field.name] = value
    # the path of a picture outside the folder is nothing that a collection has
    if Path(values["file"]).is_absolute() or ".." in Path(values["file"]).parts:
        raise DataError(f"{where}: {values['file']!r} is not a path within the folder")
    return Collected(**values)
