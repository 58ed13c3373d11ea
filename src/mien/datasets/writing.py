"""The writing half of the layout in `labelled`, which all importers share: its metadata, and who copies whom."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.duplicates import COPY_DISTANCE, first_of_group, pairs_of, similar_pairs
from mien.datasets.labelled import COLUMNS, DESCRIPTION, METADATA, SIMILAR, read_labelled_faces
from mien.datasets.staging import recover_folder
from mien.errors import DataError, UsageError

SIDE = 48
"""Of the grey pictures, in pixels, among which copies are looked for."""


@dataclass(frozen=True, slots=True)
class Relations:
    """Which of n pictures are copies of each other, and which look the same.

    Attributes:
        groups: (n,) index of the first copy of each picture.
        similar: (n,) index of the first picture that looks the same.

    """

    groups: NDArray[np.int64]
    similar: NDArray[np.int64]

    @property
    def copies(self) -> int:
        """How many pictures are copies of an earlier one."""
        return int((self.groups != np.arange(len(self.groups))).sum())

    def joined(self, groups: Sequence[tuple[int, int]], similar: Sequence[tuple[int, int]]) -> Relations:
        """Return these with further pairs of copies, and of pictures that look the same."""
        copies = [*groups, *pairs_of(self.groups.tolist())]
        alike = [*copies, *similar, *pairs_of(self.similar.tolist())]
        return Relations(first_of_group(len(self.groups), copies), first_of_group(len(self.groups), alike))

    def across(self, train: NDArray[np.bool_]) -> tuple[int, int]:
        """Return how many pictures of `train` (n,) are copies of others, and how many look the same as others."""
        copies, same = (np.isin(first[train], first[~train]).sum() for first in (self.groups, self.similar))
        return int(copies), int(same)


def relate(pictures: NDArray[np.uint8]) -> Relations:
    """Find copies among `pictures`, grey, shape (n, SIDE, SIDE)."""
    # a placeholder that stands for a thousand pictures would make half a million pairs: equal ones count once
    equal = pairs_of(hashlib.sha256(picture.tobytes()).digest() for picture in pictures)
    different = np.delete(np.arange(len(pictures)), [later for _, later in equal])
    found, distances = similar_pairs(pictures[different] if equal else pictures)
    pairs = different[found]
    return Relations(
        groups=first_of_group(len(pictures), [*equal, *pairs[distances <= COPY_DISTANCE].tolist()]),
        similar=first_of_group(len(pictures), [*equal, *pairs.tolist()]),
    )


def check_unused(out: Path, *, overwrite: bool) -> None:
    """Check that a data set may be written to `out`.

    What a run that was killed had put aside of it goes back first.

    Raises:
        OutputError: that cannot be put back.
        UsageError: it exists, and `overwrite` is off or it is something else than a data set.

    """
    recover_folder(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: it exists already; name another folder or pass --overwrite")
    if out.exists():
        try:
            read_labelled_faces(out)
        except DataError:
            raise UsageError(f"{out}: it is not a data set that mien made, so it is not overwritten") from None


def check_apart(out: Path, source: Path) -> None:
    """Check that a data set may be made at `out` from what lies in `source`.

    Raises:
        UsageError: one of the two lies in the other.

    """
    here, there = out.resolve(), source.resolve()
    if there.is_relative_to(here) or here.is_relative_to(there):
        raise UsageError(f"{out}: it and {source} lie in each other; name a folder beside it")


def write_metadata(
    folder: Path,
    *,
    names: Sequence[str],
    splits: Sequence[str],
    labels: Sequence[str],
    relations: Relations,
    columns: Mapping[str, Sequence[object]],
    description: Sequence[str],
) -> None:
    """Write `metadata.csv`, a row for each of the pictures `names`, and `data.txt` into `folder`."""
    with (folder / METADATA).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, SIMILAR, *columns])
        for row, name in enumerate(names):
            first, same = names[relations.groups[row]], names[relations.similar[row]]
            further = (values[row] for values in columns.values())
            writer.writerow([name, splits[row], labels[row], first, same, *further])
    (folder / DESCRIPTION).write_text("".join(f"{line}\n" for line in description), "utf-8")
