"""What is taken for the truth: the labels of a set, or the two labellings of FER2013, and the outputs they score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.datasets.labelled import VOTED, LabelledFaces, unstated
from mien.emotions import Emotion
from mien.errors import DataError
from mien.models.metadata import Output

_NAMES: NDArray[np.str_] = np.array([*(emotion.value for emotion in VOTED), "", ""])  # of the ten votes


def labellings(outputs: Sequence[Output], faces: LabelledFaces) -> Iterator[tuple[int, str, NDArray[np.str_]]]:
    """Yield (index of the output, name of the labelling, label of each face (n,)) for all that fit together.

    The FERPlus votes are scored on the output `votes`, FER2013's labels on the output `fer2013`. A model that
    has neither is scored by its first output on the labels. Of a set that says it is another, every output is
    scored on the labels: the first as `labels`, a further one as `labels:` with its name.

    Raises:
        DataError: the model has nothing but `votes`, and the set has none.

    """
    if not is_fer2013(faces):
        for i, output in enumerate(outputs):
            yield i, f"labels:{output.name}" if i else "labels", faces.labels
        return
    index = {output.name: i for i, output in enumerate(outputs)}
    if "fer2013" in index or "votes" not in index:
        yield index.get("fer2013", 0), "fer2013", fer2013_labels(faces)
    if "votes" in index and (faces.votes is not None or "fer2013" not in index):
        yield index["votes"], "ferplus", ferplus_plurality(faces)


def published_labellings(
    outputs: Sequence[Output], faces: LabelledFaces
) -> Iterator[tuple[int, str, NDArray[np.str_]]]:
    """Yield, as `labellings` does, what figures in the literature follow where that counts fewer faces."""
    for i, labels, _ in labellings(outputs, faces):
        if labels == "ferplus":
            yield i, "ferplus-majority", ferplus_majority(faces)


def is_fer2013(faces: LabelledFaces) -> bool:
    """Say whether a set is FER2013 or does not say what it is: it has the votes, its name, or states no terms."""
    stated = faces.description != unstated(faces.root)
    return faces.votes is not None or not stated or any("FER2013" in line.upper() for line in faces.description)


def fer2013_labels(faces: LabelledFaces) -> NDArray[np.str_]:
    """Return the label of each face (n,)."""
    return faces.labels


def ferplus_plurality(faces: LabelledFaces) -> NDArray[np.str_]:
    """Return the emotion that most raters named (n,), the empty string where that is unknown or no face.

    The arg-max runs over the ten votes as published; a tie goes to the first in the published order.

    Raises:
        DataError: the set has no votes.

    """
    names: NDArray[np.str_] = _NAMES[_votes(faces).argmax(axis=1)]
    return names


def ferplus_majority(faces: LabelledFaces) -> NDArray[np.str_]:
    """Return the emotion that more than half of the raters named (n,), the empty string where there is none.

    This is the "majority" of FERPlus's authors (Barsoum et al., 2016, and the code they published): what a single
    rater named counts as not named, by the others' votes is divided, and faces without a majority, or with one for
    unknown or no face, are left out.

    Raises:
        DataError: the set has no votes.

    """
    votes = np.where(_votes(faces) > 1, _votes(faces), 0)
    majority: NDArray[np.str_] = np.where(2 * votes.max(axis=1) > votes.sum(axis=1), _NAMES[votes.argmax(axis=1)], "")
    return majority


def _votes(faces: LabelledFaces) -> NDArray[np.int64]:
    if faces.votes is None:
        raise DataError(f"{faces.root}: it has no votes; unpack it again with --ferplus fer2013new.csv")
    return faces.votes


def positions(labels: NDArray[np.str_], emotions: tuple[Emotion, ...]) -> NDArray[np.intp]:
    """Return the index of each label in `emotions`, -1 where it is not among them."""
    index = {emotion.value: i for i, emotion in enumerate(emotions)}
    return np.array([index.get(label, -1) for label in labels.tolist()], dtype=np.intp)
