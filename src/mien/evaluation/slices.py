"""Accuracy by a column of the metadata, and whether it differs between its values by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.labelled import LabelledFaces
from mien.emotions import Emotion, set_name
from mien.errors import UsageError
from mien.evaluation.answers import Answers
from mien.evaluation.scores import wilson

MOST_NUMBERS = 12
"""A column of more different numbers than these is cut into quarters of its faces."""
MOST_TEXTS = 50
"""A column of more different texts than these does not make slices."""
LEAST = 30
"""Faces that a value needs for its accuracy to count in the gap: of fewer, it says little."""
UNSTATED = "not stated"

_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Slice:
    """The faces with one value of a column: how many, the accuracy and its interval of 95%, in percent."""

    value: str
    n: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference in accuracy between two values of at least `LEAST` faces each.

    Attributes:
        best, worst: the values.
        points: the difference.
        p: probability of a gap as large where the column has nothing to do with being right: a permutation test
            (Fisher, 1935; with one added to both counts, Phipson and Smyth, 2010) over all pairs of values at once.
        p_within_labels: the same where faces are exchanged with those of the same label only, so that having more of
            the easy emotions is no gap.

    """

    best: str
    worst: str
    points: float
    p: float
    p_within_labels: float


@dataclass(frozen=True, slots=True)
class Slices:
    """The figures of one labelling.

    Attributes:
        column: of the metadata.
        labels, output, emotions: as in `Answers`.
        slices: one a value, in the order of the values.
        gap: None where fewer than two values have enough faces.

    """

    column: str
    labels: str
    output: str
    emotions: tuple[Emotion, ...]
    slices: tuple[Slice, ...]
    gap: Gap | None

    def to_record(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        gap = self.gap
        return {
            "column": self.column,
            "labels": self.labels,
            "output": self.output,
            "emotions": set_name(self.emotions),
            "slices": [
                {
                    "value": one.value,
                    "n": one.n,
                    "accuracy": round(one.accuracy, 2),
                    "interval": [round(bound, 2) for bound in one.interval],
                }
                for one in self.slices
            ],
            "gap": None
            if gap is None
            else {
                "best": gap.best,
                "worst": gap.worst,
                "points": round(gap.points, 2),
                "p": round(gap.p, 4),
                "p_within_labels": round(gap.p_within_labels, 4),
            },
        }


def slices(answers: Answers, faces: LabelledFaces, column: str) -> Slices:
    """Return the accuracy for each value of a column.

    Args:
        answers: to `faces`.
        faces: of one split.
        column: one of `faces.columns`.

    Raises:
        UsageError: there is no such column, or it has too many values.

    """
    order, of_face = bins(faces, column)
    values = of_face[answers.rows]
    right = answers.right
    sizes = np.bincount(values, minlength=len(order))
    hits = np.bincount(values, weights=right, minlength=len(order)).astype(np.int64)
    counted = [
        Slice(value, int(n), 100.0 * hit / int(n), wilson(int(hit), int(n)))
        for value, n, hit in zip(order, sizes, hits, strict=True)
        if n > 0
    ]
    return Slices(
        column=column,
        labels=answers.labels,
        output=answers.output,
        emotions=answers.emotions,
        slices=tuple(counted),
        gap=_gap(order, values, right, answers.wanted),
    )


def bins(faces: LabelledFaces, column: str) -> tuple[list[str], NDArray[np.intp]]:
    """Return the values of a column in their order, and the index of that of each face (n,).

    Raises:
        UsageError: there is no such column, or it has too many values.

    """
    if column not in faces.columns:
        known = ", ".join(faces.columns) or "none besides the labels"
        raise UsageError(f"{faces.root}: its metadata.csv has no further column {column!r}; it has {known}")
    texts = np.array([text.strip() or UNSTATED for text in faces.columns[column].tolist()])
    numbers = np.array([_number(text) for text in texts.tolist()])
    known_ones = np.isfinite(numbers)
    if (known_ones | (texts == UNSTATED)).all() and known_ones.any():
        distinct = np.unique(numbers[known_ones])
        if len(distinct) > MOST_NUMBERS:
            texts = _quarters(numbers, known_ones)
        by_number = dict(zip(texts.tolist(), numbers.tolist(), strict=True))
        order = sorted(by_number, key=lambda text: (text == UNSTATED, by_number[text]))
    else:
        order = sorted(set(texts.tolist()), key=lambda text: (text == UNSTATED, text))
    if len(order) > MOST_TEXTS:
        raise UsageError(
            f"{faces.root}: the column {column!r} has {len(order)} different texts, too many to tell apart"
        )
    index = {text: i for i, text in enumerate(order)}
    return order, np.array([index[text] for text in texts.tolist()], dtype=np.intp)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _quarters(numbers: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return for each number (n,) the name of its quarter, from its least to its largest member."""
    inner = np.unique(np.quantile(numbers[known], [0.25, 0.5, 0.75]))
    quarter = np.searchsorted(inner, numbers, side="left")
    names = np.full(len(numbers), UNSTATED, dtype="U64")
    for i in np.unique(quarter[known]):
        members = known & (quarter == i)
        names[members] = f"{numbers[members].min():g} to {numbers[members].max():g}"
    return names


def _gap(
    order: Sequence[str], values: NDArray[np.intp], right: NDArray[np.bool_], wanted: NDArray[np.intp]
) -> Gap | None:
    sizes = np.bincount(values, minlength=len(order))
    enough = np.flatnonzero(sizes >= LEAST)
    if len(enough) < 2:
        return None
    rows = np.isin(values, enough)
    values, right, wanted, sizes = np.searchsorted(enough, values[rows]), right[rows], wanted[rows], sizes[enough]
    shares = np.bincount(values, weights=right) / sizes
    best, worst = int(shares.argmax()), int(shares.argmin())
    points = 100.0 * float(shares[best] - shares[worst])
    random = np.random.default_rng(0)
    p, p_within = (
        _chance(points, values, right, strata, sizes, random) for strata in (np.zeros_like(wanted), wanted)
    )
    return Gap(order[enough[best]], order[enough[worst]], points, p, p_within)


def _chance(
    points: float,
    values: NDArray[np.intp],
    right: NDArray[np.bool_],
    strata: NDArray[np.intp],
    sizes: NDArray[np.int64],
    random: np.random.Generator,
) -> float:
    """Return how often the largest gap is `points` or more where right answers are exchanged within `strata` (n,).

    How many of them fall to each value is then multivariate hypergeometric, so that no face need be moved.
    """
    hits = np.zeros((_DRAWS, len(sizes)), np.int64)
    for stratum in np.unique(strata):
        members = strata == stratum
        of_value = np.bincount(values[members], minlength=len(sizes))
        hits += random.multivariate_hypergeometric(of_value, int(right[members].sum()), size=_DRAWS)
    shares = 100.0 * hits / sizes
    as_large = (shares.max(axis=1) - shares.min(axis=1) >= points - 1e-9).sum()
    return (1 + int(as_large)) / (1 + _DRAWS)
