"""Pictures with a label each, before anybody has looked at them: a collection, or a folder for each class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.collect.collection import PROVENANCE, read_collection
from mien.datasets.folders import read_folders
from mien.datasets.found import emotion_named
from mien.emotions import Emotion
from mien.errors import DataError

FACTS = ("page", "url", "title", "licence", "licence_url", "author", "provider", "query")
"""What a collection knows of its pictures and a data set keeps."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture under a label.

    Attributes:
        path: its file.
        file: its path within the folder, with slashes.
        label: what it was looked for or sorted as.
        split: None where the folder has none.
        sha256: of the bytes that were collected; None in a folder of classes.
        facts: by the names in `FACTS`; empty in a folder of classes.

    """

    path: Path
    file: str
    label: Emotion
    split: str | None = None
    sha256: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The pictures of a folder, in its order.

    Attributes:
        pictures: all of them.
        collected: whether `mien collect` fetched them.
        what: the folder, in a line of words.

    """

    pictures: tuple[Candidate, ...]
    collected: bool
    what: str


def read_candidates(folder: Path) -> Candidates:
    """Return the labelled pictures in `folder`: a collection, or folders that are called after emotions.

    Raises:
        DataError: it is neither, has no picture, or a label is no emotion.

    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    try:
        if (folder / PROVENANCE).is_file():
            return _collection(folder)
        source = read_folders(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror or error})") from error
    pictures = tuple(
        Candidate(face.picture, _text(face.picture.relative_to(folder).as_posix()), face.label, face.split)
        for face in source.faces
        if face.label is not None
    )
    return Candidates(pictures, collected=False, what=source.description[0])


def _text(text: str) -> str:
    """Return `text` as it can stand in a file: a name may be of any bytes, and JSON holds halves of letters."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _collection(folder: Path) -> Candidates:
    lines = read_collection(folder)
    if not lines:
        raise DataError(f"{folder}: no picture was collected yet; go on with mien collect")
    labels = {line.label: emotion_named(line.label) for line in lines}
    if unknown := sorted(name for name, emotion in labels.items() if emotion is None):
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise DataError(
            f"{folder}: no emotion is called {shown}; a collection of other things needs no cleaning: "
            f"train on {folder / 'pictures'}"
        )
    pictures = tuple(
        Candidate(
            path=folder / line.file,
            file=_text(line.file),
            label=emotion,
            sha256=line.sha256,
            facts={name: _text(" ".join(str(getattr(line, name)).split())) for name in FACTS},
        )
        for line in lines
        if (emotion := labels[line.label]) is not None
    )
    return Candidates(pictures, collected=True, what=_told([line.provider for line in lines]))


def _told(providers: Sequence[str]) -> str:
    named = ", ".join(f"{name} {count}" for name, count in sorted(Counter(providers).items()))
    return _text(
        f"Faces in pictures that were collected from the web ({named}), labelled by the words that found them"
    )
