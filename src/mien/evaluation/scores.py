"""Figures of a classifier on labelled faces that are crops already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.emotions import SETS, Emotion, set_name
from mien.errors import DataError
from mien.evaluation.answers import in_order, known_to_both, renormalised
from mien.evaluation.calibration import Reliability, reliability
from mien.evaluation.truth import labellings, positions, published_labellings

Floats = NDArray[np.float64]

TEST_SPLITS = ("private_test", "test")
"""The splits that figures are reported on, where none is named; the first that a set has."""


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How well one output of a model names the faces of one subset, in one set of emotions.

    Attributes:
        labels: the labelling that is taken for the truth: `fer2013`, `ferplus` (most of the raters),
            `ferplus-majority` (more than half, as published), or `labels` of another set.
        emotions: the set. Only faces whose label lies in it count, and the scores are renormalised over it.
        split: of the data.
        subset: `all`, or `deduplicated`: without the copies of training pictures.
        flip: whether each answer is averaged with that to the mirrored face.
        n: faces.
        accuracy: share of faces whose label is named, in percent.
        interval: of 95% of the accuracy, in percent.
        macro_f1: mean over the emotions of the harmonic mean of precision and recall, in percent.
        recall: by emotion, share of its faces that are named so, in percent; emotions without a face are left out.
        confusion: counts (k, k), a row for each label, a column for each answer, in the order of `emotions`.
        reliability: how often answers of each confidence are right, and the calibration error.

    """

    labels: str
    emotions: tuple[Emotion, ...]
    split: str
    subset: str
    flip: bool
    n: int
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    recall: Mapping[Emotion, float]
    confusion: NDArray[np.int64]
    reliability: Reliability

    @property
    def key(self) -> dict[str, Any]:
        """What the figures are of."""
        return {
            "labels": self.labels,
            "emotions": set_name(self.emotions),
            "split": self.split,
            "subset": self.subset,
            "flip": self.flip,
        }

    def to_claim(self) -> dict[str, Any]:
        """Return the figures that a model's file carries."""
        return {
            **self.key,
            "n": self.n,
            "accuracy": round(self.accuracy, 2),
            "macro_f1": round(self.macro_f1, 2),
            "ece": round(self.reliability.error, 4),
            "interval": [round(bound, 2) for bound in self.interval],
            "recall": {str(emotion): round(value, 2) for emotion, value in self.recall.items()},
        }

    def to_record(self) -> dict[str, Any]:
        """Return all figures as plain values."""
        return {
            **self.to_claim(),
            "order": [str(emotion) for emotion in self.emotions],
            "confusion": self.confusion.tolist(),
            "reliability": {
                "counts": self.reliability.counts.tolist(),
                "confidence": self.reliability.confidence.round(4).tolist(),
                "accuracy": self.reliability.accuracy.round(4).tolist(),
            },
        }


def default_split(faces: LabelledFaces) -> str:
    """Return the split to report on where none is named.

    Raises:
        DataError: the set has none of `TEST_SPLITS`.

    """
    known = sorted(set(faces.splits.tolist()))
    if (split := next((name for name in TEST_SPLITS if name in known), None)) is None:
        raise DataError(f"{faces.root}: it has no split {' or '.join(TEST_SPLITS)}; name one of {', '.join(known)}")
    return split


def evaluate(classifier: Classifier, faces: LabelledFaces, *, split: str) -> list[Score]:
    """Return the figures of every output that has a labelling in `faces`, in every set that it covers.

    The output's own labels come first, one pass before flip averaging, all faces before the
    deduplicated ones: the first score of a labelling is what `analyze` does. Where the labels lack emotions that
    the model knows, those that both know are a further set.

    Raises:
        DataError: the set has no such split, or no output of the model has a labelling in it.
        SourceError: a picture cannot be read.

    """
    chosen = faces.split(split)
    copied = faces.copied_in("train")[faces.splits == split] if split != "train" else np.zeros(len(chosen), bool)
    pictures = chosen.pictures(classifier.metadata.size, grey=classifier.grey)
    plain, mirrored = classifier(pictures), classifier(pictures[:, :, ::-1])
    subsets = {"all": np.ones(len(chosen), bool), "deduplicated": ~copied}
    scores = []
    outputs = classifier.metadata.outputs
    for output, labels, truth in (*labellings(outputs, chosen), *published_labellings(outputs, chosen)):
        one = plain[output].astype(np.float64)
        both = (one + mirrored[output]) / 2.0
        own = outputs[output].labels
        for emotions in _sets(own, truth):
            columns = [own.index(emotion) for emotion in emotions]
            wanted = positions(truth, emotions)
            for subset, mask in subsets.items():
                rows = mask & (wanted >= 0)
                if not rows.any():
                    continue
                for flip, shares in ((False, one), (True, both)):
                    key = (labels, emotions, split, subset, flip)
                    scores.append(_score(key, renormalised(shares[rows][:, columns]), wanted[rows]))
    if not scores:
        raise DataError(f"{faces.root}: no face of {split} has a label that the model knows")
    return scores


def headlines(scores: Sequence[Score]) -> Iterator[Score]:
    """Yield for each labelling the figures of what `analyze` does: the model's own labels, one pass, all faces."""
    seen = set()
    for score in scores:
        if score.labels not in seen:
            seen.add(score.labels)
            yield score


def largest_difference(claims: Sequence[Mapping[str, Any]], scores: Sequence[Score]) -> tuple[int, float]:
    """Return how many of a file's `claims` speak of the same as `scores`, and the most they differ by, in points."""
    reached = {json.dumps(score.key): score.accuracy for score in scores}
    names = scores[0].key if scores else {}
    pairs = [
        (claim["accuracy"], reached[key])
        for claim in claims
        if (key := json.dumps({name: claim.get(name) for name in names})) in reached
        and isinstance(claim.get("accuracy"), float | int)
    ]
    return len(pairs), max((abs(claimed - measured) for claimed, measured in pairs), default=0.0)


def _sets(own: tuple[Emotion, ...], truth: NDArray[np.str_]) -> list[tuple[Emotion, ...]]:
    """Return a model's own labels, the named sets within, and what it and the labels both know."""
    named = [emotions for emotions in reversed([*SETS.values()]) if set(emotions) < set(own)]
    sets = [in_order(own), *named]
    both = known_to_both(own, own, truth)
    return sets if set(both) in map(set, sets) else [*sets, both]


def _score(key: tuple[str, tuple[Emotion, ...], str, str, bool], shares: Floats, wanted: NDArray[np.intp]) -> Score:
    labels, emotions, split, subset, flip = key
    answers = shares.argmax(axis=1)
    confusion = confusion_matrix(wanted, answers, len(emotions))
    right = answers == wanted
    of_label, hits = confusion.sum(axis=1), confusion.diagonal()
    return Score(
        labels=labels,
        emotions=emotions,
        split=split,
        subset=subset,
        flip=flip,
        n=len(wanted),
        accuracy=100.0 * float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
        macro_f1=macro_f1(confusion),
        recall={
            emotion: 100.0 * float(hits[i] / of_label[i]) for i, emotion in enumerate(emotions) if of_label[i] > 0
        },
        confusion=confusion,
        reliability=reliability(shares.max(axis=1), right),
    )


def confusion_matrix(wanted: NDArray[np.intp], answers: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """Return how often each of `count` labels (rows) got each answer (columns), from indices (n,) of both."""
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (wanted, answers), 1)
    return confusion


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Return the mean F1 over the emotions that are labelled or answered, in percent, of counts (k, k)."""
    total = confusion.sum(axis=1) + confusion.sum(axis=0)
    occurs = total > 0
    return 100.0 * float((2.0 * confusion.diagonal()[occurs] / total[occurs]).mean())


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the score interval of 95% (Wilson, 1927) of `hits` in `n`, in percent; it holds for small n, too."""
    z = 1.959964
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 100.0 * max(0.0, float(centre - half)), 100.0 * min(1.0, float(centre + half))
