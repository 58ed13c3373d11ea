"""What the labels of a set say, as the two labellings of FER2013 are scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.datasets.labelled import VOTED, LabelledFaces
from mien.emotions import Emotion
from mien.errors import DataError


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
