"""RAF-DB, the basic set (Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning", 2017).

Written from public descriptions and the code of others that reads it; the set itself, which is given out on request
only, was not at hand. That goes for the numbers of the attributes, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mien.datasets.folders import classes, read_classes
from mien.datasets.found import PublishedFace, Source, folders_in
from mien.emotions import Emotion
from mien.errors import DataError

LABELS: Mapping[str, Emotion] = {
    "1": Emotion.SURPRISED,
    "2": Emotion.FEARFUL,
    "3": Emotion.DISGUSTED,
    "4": Emotion.HAPPY,
    "5": Emotion.SAD,
    "6": Emotion.ANGRY,
    "7": Emotion.NEUTRAL,
}
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
"""What the numbers after the five landmarks mean, a line each, in the order of the lines."""
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
"""The file of the labels, as it is spelt and as it is respelt."""

_LANDMARKS = 5
_LINE = re.compile(r"(?P<name>(?P<split>train|test)_\w+)\.\w+\s+(?P<label>\S+)", re.ASCII)
_DESCRIPTION = (
    "RAF-DB, basic (Li et al., 2017): pictures from the web, given out for research only; read the terms you got",
)


def find_list(source: Path) -> Path | None:
    """Return the file of labels in `source`, where it is RAF-DB as its makers give it out."""
    places = (source / place / name for place in ("", "EmoLabel", "basic/EmoLabel") for name in LISTS)
    return next((path for path in places if path.is_file()), None)


def find_numbered(source: Path) -> Path | None:
    """Return the folder with folders train and test of numbered classes, as on Kaggle."""
    for folder in (source, source / "DATASET"):
        try:
            parents = classes(folder) if folder.is_dir() else {}
        except DataError:
            continue
        names = [child.name for parent in parents for child in folders_in(parent)]
        if names and set(names) <= set(LABELS):
            return folder
    return None


def read_rafdb(source: Path) -> Source:
    """Return the aligned faces, with gender, race and age where `Annotation/manual` is there.

    Raises:
        DataError: there is no file of labels nor numbered folders, or a line is not as published (it is named).

    """
    if (path := find_list(source)) is not None:
        return Source(_listed(path), _DESCRIPTION)
    if (folder := find_numbered(source)) is not None:
        return Source(read_classes(folder, LABELS), _DESCRIPTION)
    raise DataError(f"{source}: neither EmoLabel/{LISTS[0]} nor folders train/1 to test/7 are in it")


def _listed(path: Path) -> tuple[PublishedFace, ...]:
    root = path.parent.parent if path.parent.name == "EmoLabel" else path.parent
    aligned = next(
        (folder for folder in (root / "Image" / "aligned", root / "aligned") if folder.is_dir()),
        root / "Image/aligned",
    )
    manual = root / "Annotation" / "manual"
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        name = match["name"] if match else f"line {number}"
        problem = None
        if match is None:
            problem = (
                f"{path}, line {number}: {line.strip()!r} is not a picture and a label, as in 'train_00001.jpg 5'"
            )
        elif match["label"] not in LABELS:
            problem = f"{path}, line {number}: unknown label {match['label']!r}, not 1 to 7"
        columns: Mapping[str, str] = {}
        if match and manual.is_dir():
            try:
                columns = _attributes(manual / f"{name}_manu_attri.txt")
            except DataError as error:
                problem = problem or str(error)
        found.append(
            PublishedFace(
                picture=aligned / f"{name}_aligned.jpg",
                name=f"{name}.jpg",
                label=LABELS.get(match["label"]) if match else None,
                split=match["split"] if match else None,
                columns=columns,
                problem=problem,
            )
        )
    return tuple(found)


def _attributes(path: Path) -> dict[str, str]:
    """Return gender, race and age; none where there is no such file."""
    try:
        lines = path.read_text("utf-8").split("\n")[_LANDMARKS : _LANDMARKS + len(ATTRIBUTES)]
        return {
            name: meanings[_index(line)] for (name, meanings), line in zip(ATTRIBUTES.items(), lines, strict=True)
        }
    except FileNotFoundError:
        return dict.fromkeys(ATTRIBUTES, "")
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: its lines 6 to 8 are not gender, race and age ({error})") from error


def _index(line: str) -> int:
    value = int(line)
    if value < 0:
        raise ValueError(f"{value} is negative")
    return value
