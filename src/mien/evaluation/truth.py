"""What is taken for the truth: the labels of a set, or the two labellings of FER2013, and the outputs they score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.datasets.labelled import VOTED, LabelledFaces, unstated
from mien.emotions import Emotion
from mien.errors import DataError
from mien.models.metadata import Output


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
        yield index["votes"], "ferplus", ferplus_majority(faces)


def is_fer2013(faces: LabelledFaces) -> bool:
    """Say whether a set is FER2013 or does not say what it is: it has the votes, its name, or states no terms."""
    stated = faces.description != unstated(faces.root)
    return faces.votes is not None or not stated or any("FER2013" in line.upper() for line in faces.description)


def fer2013_labels(faces: LabelledFaces) -> NDArray[np.str_]:
    """Return the label of each face (n,)."""
    return faces.labels


def ferplus_majority(faces: LabelledFaces) -> NDArray[np.str_]:
    """Return the emotion that most raters named (n,), the empty string where that is unknown or no face.

    The arg-max runs over the ten votes as published; a tie goes to the first in the published order.

    Raises:
        DataError: the set has no votes.

    """
    if faces.votes is None:
        raise DataError(f"{faces.root}: it has no votes; unpack it again with --ferplus fer2013new.csv")
    names = np.array([*(emotion.value for emotion in VOTED), "", ""])
    majority: NDArray[np.str_] = names[faces.votes.argmax(axis=1)]
    return majority


def positions(labels: NDArray[np.str_], emotions: tuple[Emotion, ...]) -> NDArray[np.intp]:
    """Return the index of each label in `emotions`, -1 where it is not among them."""
    index = {emotion.value: i for i, emotion in enumerate(emotions)}
    return np.array([index.get(label, -1) for label in labels.tolist()], dtype=np.intp)
