"""From labelled rows to what a network is trained on: which rows, which targets, which pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.datasets.labelled import VOTED, VOTES, LabelledFaces
from mien.emotions import SETS
from mien.errors import DataError

VOTES_OUTPUT = SETS["eight"]
FER2013_OUTPUT = SETS["seven"]
PIXEL_MEAN = 128.0
PIXEL_SCALE = 64.0


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch is cut from.

    Attributes:
        pictures: uint8 (n, 1, size, size).
        votes: float32 (n, 8), each row a distribution in the order of `VOTES_OUTPUT`, or all zero
            where no rater named an emotion.
        labels: int64 (n,), indices into `FER2013_OUTPUT`.

    """

    pictures: Tensor
    votes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def training_rows(faces: LabelledFaces, *, max_not_a_face_votes: int) -> NDArray[np.bool_]:
    """Return a mask of the rows to train on: split `train`, nothing that looks like a test picture, nothing twice."""
    rows: NDArray[np.bool_] = faces.splits == "train"
    others = set(faces.splits.tolist()) - {"train"}
    rows &= ~faces.similar_in(*others) & faces.first_similar()
    return rows & _is_face(faces, max_not_a_face_votes)


def targets(faces: LabelledFaces, *, size: int, min_votes: int) -> Targets:
    """Read the pictures and targets of `faces`.

    Raises:
        DataError: the set has no votes, or a label that FER2013 does not know.

    """
    if faces.votes is None:
        raise DataError(f"{faces.root}: it has no votes; unpack it again with --ferplus fer2013new.csv")
    index = {emotion.value: i for i, emotion in enumerate(FER2013_OUTPUT)}
    if unknown := sorted(set(faces.labels.tolist()) - set(index)):
        raise DataError(f"{faces.root}: FER2013 has no label {', '.join(unknown)}")
    return Targets(
        pictures=torch.from_numpy(faces.pictures(size)[:, None]),
        votes=torch.from_numpy(vote_distribution(faces.votes, min_votes=min_votes)),
        labels=torch.tensor([index[label] for label in faces.labels.tolist()]),
    )


def repetitions(rows: Targets, *, balance: float) -> NDArray[np.int64]:
    """Return how often each row (n,) is shown in an epoch, so that rare emotions are not drowned.

    An emotion of which there are fewer rows than the median is repeated (median / its rows) ** `balance`
    times, rounded; of the two that a row has, by its label and by most of its raters, the rarer counts.
    """
    voted = rows.votes.sum(dim=1) > 0
    majority = torch.where(voted, rows.votes.argmax(dim=1), -1)
    times = np.ones(len(rows), np.int64)
    for names in (rows.labels.numpy(), majority.numpy()):
        known, counts = np.unique(names[names >= 0], return_counts=True)
        wanted = np.maximum(1, np.rint((np.median(counts) / counts) ** balance)).astype(np.int64)
        for name, repeat in zip(known, wanted, strict=True):
            times[names == name] = np.maximum(times[names == name], repeat)
    return times


def vote_distribution(votes: NDArray[np.int64], *, min_votes: int) -> NDArray[np.float32]:
    """Return the share of raters (n, 8) in the order of `VOTES_OUTPUT`, from counts (n, 10).

    Emotions named by fewer than `min_votes` raters count as not named; rows with none left are zero.
    """
    columns = [VOTED.index(emotion) for emotion in VOTES_OUTPUT]
    counts = votes[:, columns].astype(np.float32)
    counts[counts < min_votes] = 0.0
    totals = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float32] = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return shares


def normalise(pictures: Tensor) -> Tensor:
    """Return grey values 0-255 as the floats that the network takes."""
    return (pictures.float() - PIXEL_MEAN) / PIXEL_SCALE


def _is_face(faces: LabelledFaces, most: int) -> NDArray[np.bool_]:
    if faces.votes is None:
        return np.ones(len(faces), dtype=bool)
    mask: NDArray[np.bool_] = faces.votes[:, VOTES.index("NF")] <= most
    return mask
