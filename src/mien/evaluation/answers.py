"""What a model answers to labelled faces, beside what is taken for the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.emotions import SETS, Emotion
from mien.errors import DataError
from mien.evaluation.truth import labellings, positions
from mien.models.metadata import Output


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One output of a model, asked about the faces whose label is among `emotions`.

    Attributes:
        labels: the labelling that is taken for the truth.
        output: of the model.
        emotions: that count: those which the model knows and the labels name.
        rows: (n,) index of each face that counts among the faces asked about.
        wanted: (n,) index of its label in `emotions`.
        shares: (n, k) probabilities over `emotions`, each row summing to 1.

    """

    labels: str
    output: str
    emotions: tuple[Emotion, ...]
    rows: NDArray[np.intp]
    wanted: NDArray[np.intp]
    shares: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def named(self) -> NDArray[np.intp]:
        """Return the index of the emotion that each face (n,) is called."""
        indices: NDArray[np.intp] = self.shares.argmax(axis=1)
        return indices

    @property
    def right(self) -> NDArray[np.bool_]:
        """Return whether that is the label, (n,)."""
        right: NDArray[np.bool_] = self.named == self.wanted
        return right


def ask(
    classifier: Classifier,
    faces: LabelledFaces,
    *,
    pictures: NDArray[np.uint8] | None = None,
    flip: bool = False,
    emotions: tuple[Emotion, ...] | None = None,
) -> list[Answers]:
    """Return the answers of each output that has a labelling in `faces`.

    Args:
        classifier: the model.
        faces: n of them, of one split.
        pictures: what the model is shown instead of the files of `faces`, in its size and colour.
        flip: average with the answer to the mirrored face.
        emotions: to count; those of them that an output does not know are left out. Default: all of the output's.

    Raises:
        DataError: no output has a labelling in `faces`, or no face a label that counts.
        SourceError: a picture cannot be read.

    """
    metadata = classifier.metadata
    if pictures is None:
        pictures = faces.pictures(metadata.size, grey=classifier.grey)
    probabilities = classifier(pictures)
    if flip:
        mirrored = classifier(pictures[:, :, ::-1])
        probabilities = [(one + other) / np.float32(2) for one, other in zip(probabilities, mirrored, strict=True)]
    found = []
    for index, labels, truth in labellings(metadata.outputs, faces):
        output = metadata.outputs[index]
        counted = known_to_both(output.labels if emotions is None else emotions, output.labels, truth)
        wanted = positions(truth, counted)
        rows = np.flatnonzero(wanted >= 0)
        if len(rows):
            columns = [output.labels.index(emotion) for emotion in counted]
            shares = renormalised(probabilities[index][rows][:, columns].astype(np.float64))
            found.append(Answers(labels, output.name, counted, rows, wanted[rows], shares))
    if not found:
        raise DataError(f"{faces.root}: no face has a label that the model knows")
    return found


def known_to_both(
    emotions: Sequence[Emotion], known: Sequence[Emotion], truth: NDArray[np.str_]
) -> tuple[Emotion, ...]:
    """Return those of `emotions` that a model knows and that are in `truth` (n,), in the order of a set's name.

    Where these are fewer than two, there is nothing to choose from: then the truth does not narrow them.
    """
    named = set(truth.tolist())
    asked = [emotion for emotion in in_order(emotions) if emotion in known]
    both = [emotion for emotion in asked if emotion.value in named]
    return tuple(both if len(both) > 1 else asked)


def in_order(emotions: Sequence[Emotion]) -> tuple[Emotion, ...]:
    """Return the same emotions in the order of the named set that they are, or as they are."""
    return next((members for members in SETS.values() if set(members) == set(emotions)), tuple(emotions))


def renormalised(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `shares` (n, k) with rows that sum to 1; one without any share becomes even."""
    totals = shares.sum(axis=1, keepdims=True)
    even = np.full_like(shares, 1.0 / shares.shape[1])
    scaled: NDArray[np.float64] = np.divide(shares, totals, out=even, where=totals > 0)
    return scaled


def not_shared(outputs: Sequence[Output], faces: LabelledFaces) -> Iterator[str]:
    """Yield a sentence for each labelling that names what the model does not know, or lacks what it does."""
    for index, labels, truth in labellings(outputs, faces):
        known = {emotion.value for emotion in outputs[index].labels}
        counts = _counts(truth)
        if unknown := {name: count for name, count in counts.items() if name not in known}:
            faces_of = ", ".join(f"{name} {count}" for name, count in unknown.items())
            yield f"{labels}: faces that do not count, because the model does not know their label: {faces_of}."
        if absent := sorted(known - set(counts)):
            yield f"{labels}: the model also knows {', '.join(absent)}, which is the label of no face."


def _counts(truth: NDArray[np.str_]) -> Mapping[str, int]:
    names, counts = np.unique(truth[truth != ""], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
