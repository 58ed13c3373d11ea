"""Labels that are likely wrong: where a model, as sure as it is of others, says something else.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021: of a
label, the mean probability that the model gives it where it stands is the threshold from which on it is taken to say
so; a face that passes the threshold of another label, and of no more probable one, is off the diagonal of the joint
counts, and is ranked by its margin. The model should not have been trained on these faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.emotions import Emotion, project
from mien.errors import UsageError


@dataclass(frozen=True, slots=True)
class Suspect:
    """A face whose label is in doubt.

    Attributes:
        index: its row.
        other: the label that the model would give.
        margin: probability of its own label less that of the other; the lower, the more in doubt.

    """

    index: int
    other: Emotion
    margin: float


def find_suspects(
    labels: Sequence[Emotion], probabilities: NDArray[np.float32], known: Sequence[Emotion]
) -> list[Suspect]:
    """Return the faces whose label is in doubt, the most doubtful first.

    Args:
        labels: (n,) of each face.
        probabilities: (n, k) that a model gives each face.
        known: the k labels that the model knows. The probabilities are taken over those of them that are among
            `labels`; faces with other labels are passed over.

    Raises:
        UsageError: the model knows fewer than two of the labels.

    """
    among = [emotion for emotion in known if emotion in set(labels)]
    if len(among) < 2:
        raise UsageError(
            f"the model knows {', '.join(among) or 'none'} of the labels {', '.join(sorted(set(labels)))}; doubts "
            "take two at least: add pictures of another label, name another --model, or leave out --suspect"
        )
    rows = np.array([i for i, label in enumerate(labels) if label in among], np.int64)
    scores = np.array(
        [[*project(dict(zip(known, row, strict=True)), among).values()] for row in probabilities[rows].tolist()]
    )
    own = np.array([among.index(labels[i]) for i in rows.tolist()], np.int64)
    thresholds = np.array([scores[own == j, j].mean() for j in range(len(among))])
    passed = np.where(scores >= thresholds, scores, -1.0)
    said = passed.argmax(axis=1)
    doubtful = (passed.max(axis=1) >= 0.0) & (said != own)
    margins = np.take_along_axis(scores, own[:, None], 1)[:, 0] - np.take_along_axis(scores, said[:, None], 1)[:, 0]
    chosen = np.flatnonzero(doubtful)
    order = chosen[np.argsort(margins[chosen], kind="stable")].tolist()
    return [Suspect(int(rows[i]), among[said[i]], float(margins[i])) for i in order]
