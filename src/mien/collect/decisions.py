"""What a person has decided of faces whose label was in doubt: to keep it, to move it to another, to drop the face.

decisions.json:
    {"mien": "decisions", "decisions": [{"picture": SHA256, "face": 1, "decision": "move", "label": "sad"}]}

`face` counts the faces of a picture from 1, from left to right; `label` stands with "move" alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mien.datasets.found import emotion_named
from mien.emotions import Emotion
from mien.errors import DataError

DECISIONS = "decisions.json"
"""The name of the file, in a data set that obeys it."""

Key = tuple[str, int]
"""The sha256 of a picture, and the number of a face in it, from 1."""
Decision = Emotion | bool
"""The label to move to; True to keep, False to drop."""


def read_decisions(path: Path) -> dict[Key, Decision]:
    """Return what is decided, by face.

    Raises:
        DataError: the file is not there, or is none of decisions.

    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; the page suspects.html saves it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: it is not JSON ({error}); save it again by the page suspects.html") from error
    listed = content.get("decisions") if isinstance(content, dict) and content.get("mien") == "decisions" else None
    if not isinstance(listed, list):
        raise DataError(f"{path}: it holds no decisions; the page suspects.html saves them")
    return dict(_read(one, f"{path}, decision {number}") for number, one in enumerate(listed, start=1))


def write_decisions(decisions: Mapping[Key, Decision], path: Path) -> None:
    """Write decisions so that the same ones are the same bytes."""
    lines = ",\n".join(f" {json.dumps(record)}" for record in map(to_record, sorted(decisions.items(), key=_order)))
    path.write_text(f'{{"mien": "decisions", "decisions": [\n{lines}\n]}}\n', "utf-8")


def to_record(item: tuple[Key, Decision]) -> dict[str, object]:
    """Return a decision as it stands in the file."""
    (picture, face), decision = item
    record: dict[str, object] = {"picture": picture, "face": face}
    if isinstance(decision, Emotion):
        return record | {"decision": "move", "label": str(decision)}
    return record | {"decision": "keep" if decision else "drop"}


def _order(item: tuple[Key, Decision]) -> Key:
    return item[0]


def _read(one: object, where: str) -> tuple[Key, Decision]:
    if not isinstance(one, dict):
        raise DataError(f"{where}: it is not an object")
    picture, face, decision = one.get("picture"), one.get("face"), one.get("decision")
    if not isinstance(picture, str) or not picture.isascii() or type(face) is not int:
        raise DataError(f"{where}: it names no picture and face")
    key = (picture, face)
    if decision == "move":
        label = emotion_named(str(one.get("label")))
        if label is None:
            raise DataError(f"{where}: no emotion is called {one.get('label')}")
        return key, label
    if decision not in ("keep", "drop"):
        raise DataError(f"{where}: it is keep, drop or move, not {decision!r}")
    return key, decision == "keep"
