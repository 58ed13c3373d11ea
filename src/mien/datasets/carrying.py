"""Faces that go from one data set into another: their new names, what is known of them, and how they are related."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mien.datasets.labelled import ORIGIN, VOTES, LabelledFaces
from mien.datasets.naming import free_name, place_in
from mien.datasets.writing import Relations, write_metadata
from mien.errors import SourceError

_NOBODY_ASKED = (0, 0, 0, 0, 0, 0, 0, 0, 10, 0)
"""Votes of a face of which there are none, beside faces with votes: nobody knows, so that nothing is scored on it."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The faces of one set on their way into another.

    Attributes:
        faces: as they are in their set.
        splits: (n,) that they will be in.
        names: (n,) that their pictures will have.
        called: what their set is called there; empty where there is one set only.

    """

    faces: LabelledFaces
    splits: Sequence[str]
    names: Sequence[str]
    called: str = ""

    @classmethod
    def of(cls, faces: LabelledFaces, splits: Sequence[str], *, called: str = "") -> Carried:
        """Return the faces with the names of their pictures, each in the folder of its split."""
        taken: set[str] = set()
        names = [
            free_name(str(PurePosixPath(split, called, name.removeprefix(f"{was}/"))), taken)
            for name, was, split in zip(faces.file_names, faces.splits.tolist(), splits, strict=True)
        ]
        return cls(faces, splits, names, called)

    def column(self, name: str) -> list[str]:
        """Return what a column says of each face; empty where the set has none such."""
        said = self.faces.columns.get(name)
        return [""] * len(self.faces) if said is None else said.tolist()

    def votes(self) -> NDArray[np.int64]:
        """Return the votes for each face, (n, 10)."""
        if self.faces.votes is not None:
            return self.faces.votes
        return np.tile(np.array(_NOBODY_ASKED, np.int64), (len(self.faces), 1))


def write_carried(
    folder: Path,
    sets: Sequence[Carried],
    *,
    relations: Relations,
    origins: NDArray[np.int64],
    description: Sequence[str],
) -> None:
    """Write `metadata.csv` and `data.txt` of the faces of all `sets`, one after the other.

    Args:
        folder: of the data set.
        sets: n faces together.
        relations: of the n.
        origins: (n,) index of the first that comes from the same source.
        description: what the data is and on what terms.

    """
    names = [name for one in sets for name in one.names]
    columns: dict[str, Sequence[object]] = {}
    if any(one.faces.votes is not None for one in sets):
        votes = np.concatenate([one.votes() for one in sets])
        columns |= {name: votes[:, i].tolist() for i, name in enumerate(VOTES)}
    columns[ORIGIN] = [names[i] for i in origins.tolist()]
    further = dict.fromkeys(name for one in sets for name in one.faces.columns if name != ORIGIN)
    columns |= {name: [value for one in sets for value in one.column(name)] for name in further}
    if len(sets) > 1:
        columns["set"] = [f"{one.called}/{was}" if was else one.called for one in sets for was in one.column("set")]
    write_metadata(
        folder,
        names=names,
        splits=[split for one in sets for split in one.splits],
        labels=[label for one in sets for label in one.faces.labels.tolist()],
        relations=relations,
        columns=columns,
        description=description,
    )


def put_picture(source: Path, folder: Path, name: str, *, link: bool) -> None:
    """Copy a picture as it is, or link to where it is.

    Args:
        source: its file.
        folder: of the data set to be made.
        name: of the picture in that.
        link: make a symbolic link.

    Raises:
        DataError: the name leads out of the folder.
        SourceError: the picture is not there.

    """
    if not source.is_file():
        raise SourceError(f"{source}: there is no such file, though metadata.csv names it")
    target = place_in(folder, name)
    if link:
        target.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, target)
