"""What is measured of the embedded model → the tables of its card's page, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.classifier import open_classifier
from mien.evaluation.card import model_card

EMBEDDED = Path(__file__).resolve().parent.parent / "docs" / "embedded"


def card() -> str:
    """Return what `mien models card` prints, without its title, which the page has."""
    classifier = open_classifier("embedded")
    return model_card(classifier.metadata, identity=classifier.identity).partition("\n\n")[2]


def robustness() -> str:
    """Return what each fault of `mien evaluate --robustness` costs."""
    measured = json.loads((EMBEDDED / "robustness.json").read_text("utf-8"))
    kinds = {one["labels"]: one["output"] for one in measured}
    by_fault: dict[str, dict[str, Any]] = {}
    for one in measured:
        by_fault.setdefault(one["fault"], {})[one["labels"]] = one
    return _table(
        ["fault", *(f"`{output}`, {labels} labels, %" for labels, output in kinds.items()), "points lost"],
        [
            [
                fault,
                *(f"{found[labels]['accuracy']:.1f}" for labels in kinds),
                " and ".join(f"{found[labels]['fall']:.1f}" for labels in kinds),
            ]
            for fault, found in by_fault.items()
        ],
    )


def confusion() -> str:
    """Return what the faces of each emotion are called, in per cent."""
    spots = _spots()
    rows = []
    for emotion, counts in zip(spots["emotions"], spots["confusion"], strict=True):
        n = sum(counts)
        rows.append([emotion, str(n), *(f"{100 * count / n:.0f}" for count in counts)])
    return _table(["raters say", "faces", *spots["emotions"]], rows)


def faults() -> str:
    """Return how often the model is right about faces that are covered, turned, small or badly lit."""
    spots = _spots()
    rows = [["none", *_right(spots["clean"]), ""]]
    rows += [
        [
            one["fault"],
            *_right(one),
            f"{one['instead']}: {one['named'][1]:.0f}% of all faces instead of {one['named'][0]:.0f}",
        ]
        for one in spots["faults"]
    ]
    return _table(["fault", "right, %", "95%", "what it says more often"], rows)


def parts() -> str:
    """Return how often it is right on parts of the set."""
    rows = [[one["part"], str(one["n"]), *_right(one)] for one in _spots()["parts"]]
    return _table(["faces", "n", "right, %", "95%"], rows)


def examples() -> str:
    """Return how many faces of the example photographs are found when they are small, and when they are turned."""
    spots = _spots()
    sizes = _table(
        ["side of the largest face, pixels", *(str(one["side"]) for one in spots["sizes"])],
        [
            ["found", *(f"{one['found']} of {one['of']}" for one in spots["sizes"])],
            ["named as at full size", *(f"{one['same']} of {one['of']}" for one in spots["sizes"])],
        ],
    )
    angles = _table(
        ["turned in the picture's plane", *(f"{one['angle']}°" for one in spots["angles"])],
        [["found", *(f"{one['found']} of {one['of']}" for one in spots["angles"])]],
    )
    return f"{sizes}\n\n{angles}"


def _spots() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EMBEDDED / "weak_spots.json").read_text("utf-8"))
    return found


def _right(one: dict[str, Any]) -> tuple[str, str]:
    low, high = one["interval"]
    return f"{one['accuracy']:.1f}", f"{low:.1f} to {high:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
