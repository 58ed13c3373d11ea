"""AffectNet (Mollahosseini, Hasani and Mahoor, 2017), manually annotated: the csv files, or a .npy file a picture.

Written from public descriptions and the code of others that reads it; the set itself, which is given out on request
only, was not at hand.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mien.datasets.found import SPLITS, PublishedFace, Source, folders_in, pictures_in
from mien.emotions import Emotion
from mien.errors import DataError
from mien.results import Box

LABELS: tuple[Emotion | None, ...] = (
    Emotion.NEUTRAL,
    Emotion.HAPPY,
    Emotion.SAD,
    Emotion.SURPRISED,
    Emotion.FEARFUL,
    Emotion.DISGUSTED,
    Emotion.ANGRY,
    Emotion.CONTEMPTUOUS,
    None,
    None,
    None,
)
"""Behind the numbers 0 to 10; the last three are "none", "uncertain" and "no face"."""
PATH = "subDirectory_filePath"
"""The column by which a csv of this set is known."""

_BOX = ("face_x", "face_y", "face_width", "face_height")
_VALUES = ("valence", "arousal")
_LANDMARKS = "facial_landmarks"
_PICTURES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "")
_DESCRIPTION = (
    "AffectNet (Mollahosseini et al., 2017): pictures from the web, given out for research only; "
    "read the terms you got",
)


def find_lists(source: Path) -> dict[Path, str]:
    """Return the csv files of the set in `source` or a folder in it, and the split that each is, by its name."""
    found = {}
    for path in sorted([*source.glob("*.csv"), *source.glob("*/*.csv")]):
        name = path.stem.lower()
        split = "train" if "training" in name else "val" if "validation" in name else None
        if split is not None and PATH in _head(path):
            found[path] = split
    return found


def find_annotated(source: Path) -> dict[Path, str | None]:
    """Return the folders with `images` and `annotations`, and the split that each is, by its name."""
    if _is_annotated(source):
        return {source: SPLITS.get(source.resolve().name.lower())}
    return {
        folder: SPLITS[folder.name.lower()]
        for folder in folders_in(source)
        if folder.name.lower() in SPLITS and _is_annotated(folder)
    }


def read_affectnet(source: Path) -> Source:
    """Return the faces, with valence and arousal and whatever else a csv says of them.

    Of the csv files, faces are to be cut out by the boxes given; of the .npy files, the pictures are the faces.

    Raises:
        DataError: neither form is there, a csv cannot be read, or lacks a column.

    """
    if lists := find_lists(source):
        return Source(
            tuple(face for path, split in lists.items() for face in _listed(source, path, split)), _DESCRIPTION
        )
    if annotated := find_annotated(source):
        faces = (face for folder, split in annotated.items() for face in _annotated(folder, split))
        return Source(tuple(faces), _DESCRIPTION)
    raise DataError(f"{source}: neither training.csv or validation.csv nor folders images and annotations are in it")


def _head(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _is_annotated(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "annotations").is_dir()


def _listed(source: Path, path: Path, split: str) -> Iterator[PublishedFace]:
    pictures = next(source / place for place in _PICTURES if (source / place).is_dir())
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in (PATH, *_BOX, "expression") if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: the columns {', '.join(missing)} are missing")
            for row in reader:
                yield _row(row, pictures, split, f"{path}, line {reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _row(row: Mapping[Any, Any], pictures: Path, split: str, where: str) -> PublishedFace:
    label, box, problem = None, None, None
    file = PurePosixPath(str(row[PATH] or "").strip().replace("\\", "/"))
    if None in row or None in row.values():
        problem = f"{where}: the row is cut short or has too many cells"
    elif not file.name or file.is_absolute() or ".." in file.parts:
        problem = f"{where}: {row[PATH]!r} is not the path of a picture within the set"
    else:
        try:
            label = _label(row["expression"])
            box = None if label is None else _box([float(row[name]) for name in _BOX])
        except ValueError as error:
            problem = f"{where}: {error}"
    known = (PATH, *_BOX, _LANDMARKS, "expression", None)
    columns = {name: str(value or "") for name, value in row.items() if name not in known}
    return PublishedFace(pictures / file, f"{file}.png", label, split, box, columns, problem)


def _label(text: object) -> Emotion | None:
    try:
        number = int(str(text))
        if number < 0:
            raise IndexError
        return LABELS[number]
    except (ValueError, IndexError):
        raise ValueError(f"unknown expression {text!r}, not 0 to {len(LABELS) - 1}") from None


def _box(values: list[float]) -> Box:
    x, y, width, height = values
    if not all(map(math.isfinite, values)) or width < 1 or height < 1:
        raise ValueError("the face's box is empty")
    return x, y, x + width, y + height


def _annotated(folder: Path, split: str | None) -> Iterator[PublishedFace]:
    for picture in pictures_in(folder / "images"):
        stem = folder / "annotations" / picture.stem
        label, problem = None, None
        columns = dict.fromkeys(_VALUES, "")
        try:
            label = _label(_number(stem, "exp"))
            columns = {name: _number(stem, name[:3]) for name in _VALUES if Path(f"{stem}_{name[:3]}.npy").is_file()}
        except ValueError as error:
            problem = f"{picture}: {error}"
        yield PublishedFace(picture, picture.name, label, split, None, columns, problem)


def _number(stem: Path, kind: str) -> str:
    """Return the one value, a number or text, in the file of that kind."""
    path = Path(f"{stem}_{kind}.npy")
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from error
    if value.size != 1:
        raise ValueError(f"{path.name} holds {value.size} values instead of one")
    text = str(value.reshape(())[()])
    return text.removesuffix(".0")
