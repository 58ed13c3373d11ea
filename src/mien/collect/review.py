"""The page on which a person decides on faces whose label is in doubt: one file, which asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mien.collect.decisions import Decision, Key, to_record
from mien.emotions import COLOURS, Emotion

_TAKEN = "kdu"  # the keys of keep, drop and undo


@dataclass(frozen=True, slots=True)
class Doubt:
    """A face to decide on.

    Attributes:
        key: what the decision is kept by.
        label: that it has.
        other: that the model would give.
        scores: what the model says, by label.
        jpeg: the face and what is around it.
        file: where the picture lies in its folder.
        facts: where it is from; empty where nobody knows.

    """

    key: Key
    label: Emotion
    other: Emotion
    scores: Mapping[Emotion, float]
    jpeg: bytes
    file: str
    facts: Mapping[str, str]


def write_review(
    path: Path,
    doubts: Sequence[Doubt],
    *,
    labels: Sequence[Emotion],
    model: str,
    found: int,
    before: Mapping[Key, Decision],
) -> None:
    """Write the page.

    Args:
        path: its file.
        doubts: what it shows, in that order.
        labels: to which a face can be moved.
        model: whose doubts they are.
        found: how many there are, with those for which the page has no room.
        before: what was decided earlier, which the page saves again.

    """
    letters = _letters(labels)
    content = {
        "model": model,
        "found": found,
        "labels": [
            {
                "name": label,
                "digit": str(number) if number < 10 else "",
                "letter": letters[label],
                "colour": "#{:02x}{:02x}{:02x}".format(*COLOURS[label]),
            }
            for number, label in enumerate(labels, start=1)
        ],
        "faces": [_shown(doubt) for doubt in doubts],
        "before": [to_record(item) for item in sorted(before.items(), key=lambda item: item[0])],
        "page": hashlib.sha256(repr([(doubt.key, doubt.label) for doubt in doubts]).encode()).hexdigest()[:16],
    }
    # no "<" can end the element that holds it
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    assets = resources.files("mien.collect")
    style, script = ((assets / f"review.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {"policy": policy, "style": style, "data": data, "script": script}
    page = (assets / "review.html").read_text("utf-8")
    # in one go: what comes from the web is not looked through for places to fill
    path.write_text(re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], page), "utf-8")


def _letters(labels: Sequence[Emotion]) -> dict[Emotion, str]:
    """Return a key for each label: the first letter of its name that nothing else has."""
    letters: dict[Emotion, str] = {}
    for label in labels:
        letters[label] = next((one for one in label if one not in _TAKEN and one not in letters.values()), "")
    return letters


def _shown(doubt: Doubt) -> dict[str, object]:
    page = doubt.facts.get("page", "")
    return {
        "picture": doubt.key[0],
        "face": doubt.key[1],
        "label": doubt.label,
        "other": doubt.other,
        "scores": {label: round(score, 3) for label, score in doubt.scores.items()},
        "image": f"data:image/jpeg;base64,{base64.b64encode(doubt.jpeg).decode('ascii')}",
        "file": doubt.file,
        "page": page if page.startswith(("http://", "https://")) else "",
        **{name: doubt.facts.get(name, "") for name in ("title", "author", "licence", "query")},
    }


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
