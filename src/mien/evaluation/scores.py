"""Figures of a classifier on a split of labelled faces that are crops already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.evaluation.truth import fer2013_labels, ferplus_majority, positions

_TRUTHS = {"fer2013": ("fer2013", fer2013_labels), "votes": ("ferplus", ferplus_majority)}
"""By the name of a model's output: the name of the labelling that it is scored on, and where it is from."""


def score(classifier: Classifier, faces: LabelledFaces, *, split: str) -> list[dict[str, Any]]:
    """Return the accuracy in percent of every output that has a labelling here.

    Each is given with and without flip averaging, on all pictures and on those without a copy in
    `train` (`deduplicated`).
    """
    rows = faces.splits == split
    copied = faces.copied_in("train")[rows]
    chosen = faces.split(split)
    pictures = chosen.pictures(classifier.metadata.size)
    scores = []
    for flip in (False, True):
        answers = classifier(pictures, flip=flip)
        for output, probabilities in zip(classifier.metadata.outputs, answers, strict=True):
            if output.name not in _TRUTHS:
                continue
            labelling, truth = _TRUTHS[output.name]
            wanted = positions(truth(chosen), output.labels)
            right = probabilities.argmax(axis=1) == wanted
            for subset, mask in (("all", wanted >= 0), ("deduplicated", (wanted >= 0) & ~copied)):
                scores.append(
                    {
                        "labels": labelling,
                        "split": split,
                        "subset": subset,
                        "flip": flip,
                        "n": int(mask.sum()),
                        "accuracy": _percent(right[mask]),
                    }
                )
    return scores


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100.0 * float(right.mean()), 2) if right.size else 0.0
