"""The confusion matrix and the reliability diagram as PNG files, by matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.emotions import set_name
from mien.errors import MissingExtraError
from mien.evaluation.calibration import BINS
from mien.evaluation.scores import Score

_SIDE = 5.6  # inches
_BLUE, _GREY = "#0072b2", "#8a8a8a"


def require_charts() -> None:
    """Check that matplotlib is there.

    Raises:
        MissingExtraError: it is not, or cannot be loaded.

    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("drawing the report's charts", "plot") from error


def draw_confusion(score: Score, file: Path) -> None:
    """Write the confusion matrix, each row as shares of its label."""
    from matplotlib.figure import Figure  # a figure of its own: no window system, no global state

    counts = score.confusion
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [str(emotion) for emotion in score.emotions]
    figure = Figure(figsize=(_SIDE + 0.8, _SIDE), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=100.0)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 55 else "black"
        axes.text(column, row, f"{share:.0f}\n({counts[row, column]})", ha="center", va="center", color=ink, size=8)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answered")
    axes.set_ylabel(f"labelled ({score.labels})")
    axes.set_title(f"{score.labels}, {set_name(score.emotions)}: {score.accuracy:.1f}% of {score.n} faces")
    figure.colorbar(image, ax=axes, label="% of the faces with the label (and how many)", shrink=0.85)
    figure.savefig(file, dpi=130)


def draw_reliability(score: Score, file: Path) -> None:
    """Write the reliability diagram: the share of right answers against their confidence."""
    from matplotlib.figure import Figure

    diagram = score.reliability
    figure = Figure(figsize=(_SIDE, _SIDE), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.arange(BINS) / BINS
    above.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1, label="confidence = share that is right")
    above.bar(edges, diagram.accuracy, width=1 / BINS, align="edge", color=_BLUE, edgecolor="white", label="answers")
    some = diagram.counts > 0
    above.plot(diagram.confidence[some], diagram.accuracy[some], "o", color="black", markersize=3)
    above.set_ylabel("share that is right")
    above.set_ylim(0, 1)
    above.set_xlim(0, 1)
    above.legend(loc="upper left", frameon=False)
    above.set_title(f"{score.labels}, {set_name(score.emotions)}: calibration error {diagram.error:.3f}")
    below.bar(edges, diagram.counts, width=1 / BINS, align="edge", color=_GREY, edgecolor="white")
    below.set_ylabel("answers")
    below.set_xlabel("confidence")
    figure.savefig(file, dpi=130)
