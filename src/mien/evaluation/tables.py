"""Figures → the tables and records in which they are told, on a terminal and in a report alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mien.emotions import set_name
from mien.errors import one_line
from mien.evaluation.robustness import Robustness
from mien.evaluation.scores import Score, headlines
from mien.evaluation.slices import LEAST, Slices

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The heads of the columns, and the rows."""


def score_table(scores: Sequence[Score]) -> Table:
    """Return a row for each labelling, set and subset, in one pass and with flip averaging."""
    return ("labels", "emotions", "faces", "flip", "n", "accuracy %", "macro-F1 %", "ECE"), [
        (
            score.labels,
            set_name(score.emotions),
            score.subset,
            "flip" if score.flip else "",
            str(score.n),
            f"{score.accuracy:.2f} ({score.interval[0]:.1f} to {score.interval[1]:.1f})",
            f"{score.macro_f1:.2f}",
            f"{score.reliability.error:.3f}",
        )
        for score in scores
    ]


def recall_table(scores: Sequence[Score]) -> Table:
    """Return a row for each labelling, with the recall of every emotion in one pass."""
    tops = list(headlines(scores))
    emotions = sorted({emotion for top in tops for emotion in top.emotions})
    return ("recall %", *map(str, emotions)), [
        (top.labels, *(f"{top.recall[emotion]:.1f}" if emotion in top.recall else "" for emotion in emotions))
        for top in tops
    ]


def slices_title(of_column: Slices) -> str:
    """Return what the table of a column's slices is of."""
    return f"{of_column.labels}, {set_name(of_column.emotions)}, by {of_column.column}, one pass"


def slices_table(of_column: Slices) -> Table:
    """Return a row for each value of a column."""
    return (one_line(of_column.column), "n", "accuracy %", "95% (Wilson)"), [
        (one_line(one.value), str(one.n), f"{one.accuracy:.2f}", f"{one.interval[0]:.1f} to {one.interval[1]:.1f}")
        for one in of_column.slices
    ]


def gap_sentence(of_column: Slices) -> str:
    """Return what is to be said of the largest gap between the values of a column."""
    gap = of_column.gap
    if gap is None:
        return f"No gap is told: fewer than two values have {LEAST} faces."
    told = "more than chance" if gap.p_within_labels < 0.05 else "not more than chance"
    small = f", of values with {LEAST} faces or more" if any(one.n < LEAST for one in of_column.slices) else ""
    return (
        f"Largest gap{small}: {gap.points:.2f} points, {one_line(gap.best)} over {one_line(gap.worst)}: {told} where "
        f"faces of the same label are exchanged (p = {gap.p_within_labels:.4f}; of any label, p = {gap.p:.4f}; "
        "permutation tests of the largest gap)."
    )


def robustness_table(kept: Sequence[Robustness]) -> Table:
    """Return a row for each labelling and fault."""
    return ("labels", "emotions", "fault", "n", "accuracy %", "fall"), [
        (one.labels, set_name(one.emotions), one.fault, str(one.n), f"{one.accuracy:.2f}", f"{one.fall:.2f}")
        for one in kept
    ]


def records(
    scores: Sequence[Score], sliced: Sequence[Slices] = (), kept: Sequence[Robustness] = ()
) -> list[dict[str, Any]]:
    """Return all figures as plain values; slices and robustness stand with the first score of their labelling."""
    tops = [id(score) for score in headlines(scores)]
    found = []
    for score in scores:
        record = score.to_record()
        if id(score) in tops and sliced:
            record["by"] = [one.to_record() for one in sliced if one.labels == score.labels]
        if id(score) in tops and kept:
            record["robustness"] = [one.to_record() for one in kept if one.labels == score.labels]
        found.append(record)
    return found
