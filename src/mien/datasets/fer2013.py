"""FER2013 (Goodfellow et al., 2013) and the FERPlus votes (Barsoum et al., 2016), from their csv files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.datasets.duplicates import COPY_DISTANCE, first_of_group, similar_pairs
from mien.datasets.labelled import COLUMNS, DESCRIPTION, METADATA, SIMILAR, VOTES, read_labelled_faces
from mien.datasets.staging import staged_folder
from mien.emotions import Emotion
from mien.errors import DataError, UsageError

SIDE = 48
LABELS: tuple[Emotion, ...] = (
    Emotion.ANGRY,
    Emotion.DISGUSTED,
    Emotion.FEARFUL,
    Emotion.HAPPY,
    Emotion.SAD,
    Emotion.SURPRISED,
    Emotion.NEUTRAL,
)
"""The emotions behind the numbers 0 to 6 of the published file."""
SPLITS = {"Training": "train", "PublicTest": "public_test", "PrivateTest": "private_test"}


@dataclass(frozen=True, slots=True)
class UnpackedFer:
    """What `unpack_fer2013` wrote: pictures per split, and how many of them are copies or look the same."""

    pictures: dict[str, int]
    copies: int
    train_copies_of_test: int
    train_similar_to_test: int


def unpack_fer2013(
    fer2013: str | Path, out: str | Path, *, ferplus: str | Path | None = None, overwrite: bool = False
) -> UnpackedFer:
    """Write the published `fer2013.csv` as a folder of labelled pictures.

    Args:
        fer2013: csv with the columns emotion (0-6), pixels (2,304 numbers 0-255), Usage.
        out: the folder to make; it appears under this name only when it is whole.
        ferplus: `fer2013new.csv`, its ten votes in the same row order.
        overwrite: replace a folder `out` that an earlier run of this function made.

    Raises:
        DataError: a row is not as published (its line is named), or the two files are out of step.
        OutputError: `out` cannot be written.
        UsageError: `out` exists, and `overwrite` is off or it is something else than a data set.

    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: it exists already; name another folder or pass --overwrite")
    if out.exists():
        try:
            read_labelled_faces(out)
        except DataError:
            raise UsageError(f"{out}: it is not a data set that mien made, so it is not overwritten") from None
    pictures, labels, splits = _read_faces(Path(fer2013))
    votes = None if ferplus is None else _read_votes(Path(ferplus), splits)
    pairs, distances = similar_pairs(pictures)
    groups = first_of_group(len(pictures), pairs[distances <= COPY_DISTANCE])
    similar = first_of_group(len(pictures), pairs)
    names = [f"{split}/fer{row:07d}.png" for row, split in enumerate(splits)]

    with staged_folder(out) as folder:
        for split in SPLITS.values():
            (folder / split).mkdir()
        for name, picture in zip(names, pictures, strict=True):
            Image.fromarray(picture).save(folder / name, compress_level=3)
        with (folder / METADATA).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, SIMILAR, *(VOTES if votes is not None else ())])
            for row, name in enumerate(names):
                counts = votes[row].tolist() if votes is not None else ()
                writer.writerow([name, splits[row], labels[row], names[groups[row]], names[similar[row]], *counts])
        (folder / DESCRIPTION).write_text("".join(f"{line}\n" for line in _description(votes is not None)), "utf-8")

    split_of = np.array(splits)
    train = split_of == "train"
    return UnpackedFer(
        pictures={split: int((split_of == split).sum()) for split in SPLITS.values()},
        copies=int((groups != np.arange(len(groups))).sum()),
        train_copies_of_test=int(np.isin(groups[train], groups[~train]).sum()),
        train_similar_to_test=int(np.isin(similar[train], similar[~train]).sum()),
    )


def _description(with_votes: bool) -> list[str]:
    lines = ["FER2013 (Goodfellow et al., 2013): pictures from the web without an open licence"]
    return [*lines, "FERPlus votes (Barsoum et al., 2016): MIT"] if with_votes else lines


def _read_faces(path: Path) -> tuple[NDArray[np.uint8], list[Emotion], list[str]]:
    """Return pixels (n, 48, 48), labels and splits of a `fer2013.csv`, in its order."""
    pictures, labels, splits = [], [], []
    for line, row in _rows(path, ("emotion", "pixels", "Usage")):
        try:
            labels.append(LABELS[_natural(row["emotion"])])
        except (ValueError, IndexError):
            raise DataError(f"{path}, line {line}: unknown emotion {row['emotion']!r}, not 0 to 6") from None
        if row["Usage"] not in SPLITS:
            raise DataError(f"{path}, line {line}: unknown Usage {row['Usage']!r}, not {', '.join(SPLITS)}")
        splits.append(SPLITS[row["Usage"]])
        try:
            values = np.array(row["pixels"].split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise DataError(f"{path}, line {line}: the pixels are not all whole numbers") from None
        if values.size != SIDE * SIDE:
            raise DataError(f"{path}, line {line}: {values.size} pixels instead of {SIDE * SIDE}")
        if values.min() < 0 or values.max() > 255:
            raise DataError(f"{path}, line {line}: a pixel lies outside 0 to 255")
        pictures.append(values.astype(np.uint8).reshape(SIDE, SIDE))
    if not pictures:
        raise DataError(f"{path}: it has no rows")
    return np.stack(pictures), labels, splits


def _read_votes(path: Path, splits: list[str]) -> NDArray[np.int64]:
    """Return the votes (n, 10) of a `fer2013new.csv`, checked to be in step with the faces' `splits`."""
    votes: list[list[int]] = []
    for line, row in _rows(path, ("Usage", "Image name", *VOTES)):
        if len(votes) >= len(splits):
            raise DataError(f"{path}, line {line}: it has more rows than fer2013.csv, which has {len(splits)}")
        if SPLITS.get(row["Usage"]) != splits[len(votes)]:
            raise DataError(f"{path}, line {line}: its Usage differs from the same row of fer2013.csv")
        if row["Image name"] not in ("", f"fer{len(votes):07d}.png"):  # empty where no rater saw a face
            raise DataError(f"{path}, line {line}: it is about {row['Image name']}, not the row's picture")
        try:
            votes.append([_natural(row[name]) for name in VOTES])
        except ValueError:
            raise DataError(f"{path}, line {line}: the votes are not ten whole numbers") from None
    if len(votes) != len(splits):
        raise DataError(f"{path}: it has {len(votes)} rows and fer2013.csv has {len(splits)}")
    return np.array(votes, dtype=np.int64)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a csv that has at least `columns`, none of them cut off."""
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 1 << 24)))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: the columns {', '.join(missing)} are missing")
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise DataError(f"{path}, line {reader.line_num}: the row is cut short")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
