"""The one layout of labelled faces on disk, after Hugging Face's `imagefolder` convention.

    DATA/
      metadata.csv            file_name, split, label, group, similar, the ten votes where there are any, and
                              whatever else is known of the faces, such as age, to tell figures apart by
      data.txt                what the data is and on what terms, a line each; models carry it on
      train/….png
      public_test/….png
      private_test/….png

`file_name` is relative to DATA. `group` is the file name of the first copy of the picture in the set
(its own where it has none before it), so that copies can be left out of a figure. `similar` is the same
for pictures that look the same, copies or not, which training keeps out; where it is left out, only copies do.
A further column `origin` may say the same of faces that come from one picture or page, or look the same: a split that
is drawn keeps those together.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.datasets.naming import is_within
from mien.emotions import Emotion
from mien.errors import DataError, SourceError
from mien.sources import read_picture

METADATA = "metadata.csv"
DESCRIPTION = "data.txt"
COLUMNS = ("file_name", "split", "label", "group")
SIMILAR = "similar"
ORIGIN = "origin"
VOTES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
"""The columns of the ten FERPlus votes, in their published names and order."""
VOTED: tuple[Emotion, ...] = (
    Emotion.NEUTRAL,
    Emotion.HAPPY,
    Emotion.SURPRISED,
    Emotion.SAD,
    Emotion.ANGRY,
    Emotion.DISGUSTED,
    Emotion.FEARFUL,
    Emotion.CONTEMPTUOUS,
)
"""The emotions behind the first eight of `VOTES`."""

_LONGEST_SPLIT = 255  # what a folder can be called


@dataclass(frozen=True, slots=True)
class LabelledFaces:
    """The rows of a `metadata.csv`, in its order.

    Attributes:
        root: the folder that the file names are relative to.
        file_names: n relative paths.
        splits: (n,) names of splits.
        labels: (n,) names of emotions.
        groups: (n,) file name of the first copy of each picture.
        similar: (n,) file name of the first picture that looks the same.
        votes: (n, 10) counts of raters in the order of `VOTES`, or None where the set has no votes.
        description: what the data is and on what terms, a line each.
        columns: by name, the text (n,) of each further column, empty where a row says nothing.

    """

    root: Path
    file_names: tuple[str, ...]
    splits: NDArray[np.str_]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    similar: NDArray[np.str_]
    votes: NDArray[np.int64] | None
    description: tuple[str, ...]
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def origins(self) -> NDArray[np.str_]:
        """(n,) file name of the first face that comes from where each does; of a set that says nothing, `similar`."""
        said = self.columns.get(ORIGIN)
        return self.similar if said is None else np.where(said == "", self.similar, said)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> LabelledFaces:
        """Return only the given rows, by mask or index."""
        kept = np.arange(len(self))[rows]
        return LabelledFaces(
            root=self.root,
            file_names=tuple(self.file_names[i] for i in kept),
            splits=self.splits[kept],
            labels=self.labels[kept],
            groups=self.groups[kept],
            similar=self.similar[kept],
            votes=None if self.votes is None else self.votes[kept],
            description=self.description,
            columns={name: values[kept] for name, values in self.columns.items()},
        )

    def split(self, name: str) -> LabelledFaces:
        """Return the rows of one split.

        Raises:
            DataError: the set has no such split.

        """
        rows = self.splits == name
        if not rows.any():
            known = ", ".join(sorted(set(self.splits.tolist())))
            raise DataError(f"{self.root}: there is no split {name!r}; the set has {known}")
        return self.select(rows)

    def copied_in(self, *splits: str) -> NDArray[np.bool_]:
        """Return a mask (n,) of the rows that have a copy among the rows of `splits`."""
        return np.isin(self.groups, self.groups[np.isin(self.splits, splits)])

    def similar_in(self, *splits: str) -> NDArray[np.bool_]:
        """Return a mask (n,) of the rows that look the same as a row of `splits`."""
        return np.isin(self.similar, self.similar[np.isin(self.splits, splits)])

    def first_similar(self) -> NDArray[np.bool_]:
        """Return a mask (n,) that keeps one of the rows that look the same: their first."""
        mask = np.zeros(len(self), dtype=bool)
        mask[np.unique(self.similar, return_index=True)[1]] = True
        return mask

    def pictures(self, size: int, *, grey: bool = True) -> NDArray[np.uint8]:
        """Return all pictures with values 0-255, resized where they differ from `size`.

        Returns:
            Grey values, shape (n, size, size), or else RGB, (n, size, size, 3).

        Raises:
            SourceError: a picture is missing or cannot be decoded.

        """
        out = np.empty((len(self), size, size) if grey else (len(self), size, size, 3), dtype=np.uint8)
        for i, name in enumerate(self.file_names):
            if not (self.root / name).is_file():  # such as a device, which has no end
                raise SourceError(f"{self.root / name}: there is no such file, though {METADATA} names it")
            image = Image.fromarray(read_picture(self.root / name).pixels)
            if grey:
                image = image.convert("L")
            if image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            out[i] = np.asarray(image)
        return out


def read_labelled_faces(root: str | Path) -> LabelledFaces:
    """Read the `metadata.csv` in the folder `root`.

    Raises:
        DataError: there is no such file, or a row of it is not in the layout (the row is named).

    """
    path = Path(root) / METADATA
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: it is no file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                raise DataError(f"{path}: the columns {', '.join(missing)} are missing")
            rows = list(reader)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; a data set is made by `mien data`") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not rows:
        raise DataError(f"{path}: it has no rows")
    known = {emotion.value for emotion in Emotion}
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None for name in COLUMNS):
            raise DataError(f"{path}, line {number}: the row is cut short")
        if row["label"] not in known:
            raise DataError(f"{path}, line {number}: unknown label {row['label']!r}")
        if not is_within(row["file_name"]):
            raise DataError(f"{path}, line {number}: {row['file_name']!r} is not a path within the set")
        if row["split"] and (row["split"] == "." or "/" in row["split"] or not is_within(row["split"])):
            raise DataError(f"{path}, line {number}: {row['split']!r} is not the name of a split")
        if len(row["split"]) > _LONGEST_SPLIT:
            raise DataError(f"{path}, line {number}: the name of the split is longer than {_LONGEST_SPLIT} letters")
    return LabelledFaces(
        root=Path(root),
        file_names=tuple(row["file_name"] for row in rows),
        splits=np.array([row["split"] for row in rows]),
        labels=np.array([row["label"] for row in rows]),
        groups=_texts(row["group"] for row in rows),
        similar=_texts(row.get(SIMILAR) or row["group"] for row in rows),
        votes=_votes(path, rows) if all(name in columns for name in VOTES) else None,
        description=_description(Path(root)),
        columns={
            name: _texts(row[name] or "" for row in rows)
            for name in columns
            if name and name not in (*COLUMNS, SIMILAR, *VOTES)
        },
    )


def _texts(values: Iterable[str]) -> NDArray[np.str_]:
    """Return texts, each in the room that it takes: of a fixed width, all would take that of the longest."""
    texts: NDArray[np.str_] = np.array(list(values), np.dtypes.StringDType())
    return texts


def unstated(root: Path) -> tuple[str, ...]:
    """Return what stands for the description of a set that has none."""
    return (f"{root.resolve().name}: terms not stated",)


def _description(root: Path) -> tuple[str, ...]:
    try:
        lines = (root / DESCRIPTION).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    return tuple(line for line in map(str.strip, lines) if line) or unstated(root)


def _votes(path: Path, rows: Sequence[dict[str, str]]) -> NDArray[np.int64]:
    votes = np.zeros((len(rows), len(VOTES)), dtype=np.int64)
    for i, row in enumerate(rows):
        try:
            votes[i] = [int(row[name]) for name in VOTES]
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path}, line {i + 2}: the votes are not ten whole numbers") from error
    return votes
