"""FER2013 (Goodfellow et al., 2013) and the FERPlus votes (Barsoum et al., 2016), from their csv files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.datasets.labelled import VOTES
from mien.datasets.staging import staged_folder
from mien.datasets.writing import SIDE, check_unused, relate, write_metadata
from mien.emotions import Emotion
from mien.errors import DataError

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
    """What `unpack_fer2013` wrote: pictures per split, and how many of them are copies or look the same.

    `skipped` says of each row that was left out what is wrong with it.
    """

    pictures: dict[str, int]
    copies: int
    train_copies_of_test: int
    train_similar_to_test: int
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """A sound row of the published file."""

    picture: NDArray[np.uint8]
    label: Emotion
    split: str


def unpack_fer2013(
    fer2013: str | Path,
    out: str | Path,
    *,
    ferplus: str | Path | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> UnpackedFer:
    """Write the published `fer2013.csv` as a folder of labelled pictures.

    Args:
        fer2013: csv with the columns emotion (0-6), pixels (2,304 numbers 0-255), Usage.
        out: the folder to make; it appears under this name only when it is whole.
        ferplus: `fer2013new.csv`, its ten votes in the same row order.
        skip_bad: leave out rows that are not as published. Pictures are numbered by their row as ever.
        overwrite: replace a folder `out` that an earlier run of this function made.

    Raises:
        DataError: a row is not as published (its line is named), none is, or the two files are out of step.
        OutputError: `out` cannot be written.
        UsageError: `out` exists, and `overwrite` is off or it is something else than a data set.

    """
    out = Path(out)
    check_unused(out, overwrite=overwrite)
    skipped: list[str] | None = [] if skip_bad else None
    published = _read_faces(Path(fer2013), skipped)
    votes = None if ferplus is None else _read_votes(Path(ferplus), published, skipped)
    kept = [
        (number, row) for number, row in enumerate(published) if row is not None and (votes is None or votes[number])
    ]
    if not kept:
        raise DataError(f"{fer2013}: it has no rows{' that are as published' if published else ''}")
    pictures = np.stack([row.picture for _, row in kept])
    splits = [row.split for _, row in kept]
    names = [f"{row.split}/fer{number:07d}.png" for number, row in kept]
    relations = relate(pictures)

    with staged_folder(out) as folder:
        for split in SPLITS.values():
            (folder / split).mkdir()
        for name, picture in zip(names, pictures, strict=True):
            Image.fromarray(picture).save(folder / name, compress_level=3)
        columns = {} if votes is None else {name: [votes[n][i] for n, _ in kept] for i, name in enumerate(VOTES)}
        write_metadata(
            folder,
            names=names,
            splits=splits,
            labels=[row.label for _, row in kept],
            relations=relations,
            columns=columns,
            description=_description(votes is not None),
        )

    split_of = np.array(splits)
    copies, similar = relations.across(split_of == "train")
    return UnpackedFer(
        pictures={split: int((split_of == split).sum()) for split in SPLITS.values()},
        copies=relations.copies,
        train_copies_of_test=copies,
        train_similar_to_test=similar,
        skipped=tuple(skipped or ()),
    )


def _description(with_votes: bool) -> list[str]:
    lines = ["FER2013 (Goodfellow et al., 2013): pictures from the web without an open licence"]
    return [*lines, "FERPlus votes (Barsoum et al., 2016): MIT"] if with_votes else lines


def _read_faces(path: Path, skipped: list[str] | None) -> list[_Row | None]:
    """Return the rows of a `fer2013.csv`; None for those that are bad, where `skipped` is there to say so."""
    rows: list[_Row | None] = []
    for line, row in _rows(path, ("emotion", "pixels", "Usage")):
        try:
            rows.append(_face(row))
        except ValueError as error:
            _reject(f"{path}, line {line}: {error}", skipped)
            rows.append(None)
    return rows


def _face(row: dict[str, str]) -> _Row:
    """Return what a row holds; a ValueError says what is wrong with it."""
    _check_whole(row)
    try:
        label = LABELS[_natural(row["emotion"])]
    except (ValueError, IndexError):
        raise ValueError(f"unknown emotion {row['emotion']!r}, not 0 to {len(LABELS) - 1}") from None
    if row["Usage"] not in SPLITS:
        raise ValueError(f"unknown Usage {row['Usage']!r}, not {', '.join(SPLITS)}")
    try:
        values = np.array(row["pixels"].split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise ValueError("the pixels are not all whole numbers") from None
    if values.size != SIDE * SIDE:
        raise ValueError(f"{values.size} pixels instead of {SIDE * SIDE}")
    if values.min() < 0 or values.max() > 255:
        raise ValueError("a pixel lies outside 0 to 255")
    return _Row(values.astype(np.uint8).reshape(SIDE, SIDE), label, SPLITS[row["Usage"]])


def _read_votes(path: Path, faces: list[_Row | None], skipped: list[str] | None) -> list[tuple[int, ...]]:
    """Return the ten votes of each row of a `fer2013new.csv`, checked to be in step with `faces`.

    They are empty where they are bad and `skipped` is there to say so. Files out of step are never passed over:
    each vote would go to another's face.
    """
    votes: list[tuple[int, ...]] = []
    for line, row in _rows(path, ("Usage", "Image name", *VOTES)):
        if len(votes) >= len(faces):
            raise DataError(f"{path}, line {line}: it has more rows than fer2013.csv, which has {len(faces)}")
        face = faces[len(votes)]
        try:
            _check_whole(row)
        except ValueError as error:
            _reject(f"{path}, line {line}: {error}", skipped)
            votes.append(())
            continue
        if face is not None and SPLITS.get(row["Usage"]) != face.split:
            raise DataError(f"{path}, line {line}: its Usage differs from the same row of fer2013.csv")
        if row["Image name"] not in ("", f"fer{len(votes):07d}.png"):  # empty where no rater saw a face
            raise DataError(f"{path}, line {line}: it is about {row['Image name']}, not the row's picture")
        try:
            votes.append(tuple(_natural(row[name]) for name in VOTES))
        except ValueError:
            _reject(f"{path}, line {line}: the votes are not ten whole numbers", skipped)
            votes.append(())
    if len(votes) != len(faces):
        raise DataError(f"{path}: it has {len(votes)} rows and fer2013.csv has {len(faces)}")
    return votes


def _reject(reason: str, skipped: list[str] | None) -> None:
    """Note that a row is bad, or raise where that is not wanted."""
    if skipped is None:
        raise DataError(reason)
    skipped.append(reason)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a csv that has at least `columns`; what a row lacks of them is None."""
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, 1 << 24)))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: the columns {', '.join(missing)} are missing")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _check_whole(row: Mapping[Any, Any]) -> None:
    """Raise a ValueError where a row has too few or too many cells, of which DictReader makes None."""
    if None in row.values():
        raise ValueError("the row is cut short")
    if None in row:
        raise ValueError("the row has more cells than the head of the file")


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
