"""What the readers of other people's layouts hand to the importer: a face each, not yet read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mien.emotions import Emotion
from mien.results import Box
from mien.sources import find_pictures
from mien.sources.folder import SUFFIXES

SPLITS = {
    "train": "train",
    "training": "train",
    "train_set": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "val_set": "val",
    "test": "test",
    "testing": "test",
    "test_set": "test",
    "public_test": "public_test",
    "private_test": "private_test",
}
"""What folders of a split are called, in lower case, and the split's name here."""

NOUNS = {
    "anger": Emotion.ANGRY,
    "contempt": Emotion.CONTEMPTUOUS,
    "disgust": Emotion.DISGUSTED,
    "fear": Emotion.FEARFUL,
    "happiness": Emotion.HAPPY,
    "sadness": Emotion.SAD,
    "surprise": Emotion.SURPRISED,
    "fearful": Emotion.FEARFUL,
    "afraid": Emotion.FEARFUL,
    "joy": Emotion.HAPPY,
    "neutrality": Emotion.NEUTRAL,
}
"""What classes are called besides the names of the emotions, in lower case."""


@dataclass(frozen=True, slots=True)
class PublishedFace:
    """A labelled face as its set publishes it.

    Attributes:
        picture: its file.
        name: of that file in the data set to be made, within the folder of its split.
        label: as the set says; None where it says that this is no emotion or no face.
        split: None where the set has none.
        box: to cut the face out by; None where the picture is the face.
        columns: what else the set says of the face.
        problem: why it cannot be used, if so.

    """

    picture: Path
    name: str
    label: Emotion | None
    split: str | None = None
    box: Box | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A layout that was read: its faces in order, and what the set is, a line each."""

    faces: tuple[PublishedFace, ...]
    description: tuple[str, ...]


def emotion_named(name: str) -> Emotion | None:
    """Return the emotion that a class is called after, in any case; None where it is none."""
    key = name.strip().lower()
    return next((emotion for emotion in Emotion if emotion.value == key), None) or NOUNS.get(key)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in `folder` that are not hidden, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures right in `folder`, known by their suffixes, by name; there may be none."""
    if not any(path.suffix.lower() in SUFFIXES for path in folder.iterdir()):
        return []
    return [path for path in find_pictures(folder) if path.suffix.lower() in SUFFIXES]
