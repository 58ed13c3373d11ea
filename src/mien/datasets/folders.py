"""A folder for each class: DIR/CLASS/*.jpg, or DIR/SPLIT/CLASS/*.jpg."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mien.datasets.found import NOUNS, SPLITS, PublishedFace, Source, emotion_named, folders_in, pictures_in
from mien.emotions import Emotion
from mien.errors import DataError


def read_folders(source: Path) -> Source:
    """Return the pictures in folders that are called after emotions, in any case, and maybe in folders of splits.

    Raises:
        DataError: a folder is called otherwise, or a class is empty.

    """
    known = {folder.name: emotion_named(folder.name) for parent in classes(source) for folder in folders_in(parent)}
    if unknown := sorted(name for name, emotion in known.items() if emotion is None):
        names = ", ".join([*Emotion, *NOUNS])
        raise DataError(f"{source}: no emotion is called {', '.join(unknown)}; known are {names}")
    named = {name: emotion for name, emotion in known.items() if emotion is not None}
    return Source(
        faces=read_classes(source, named),
        description=(f"{source.resolve().name}: pictures in a folder for each class",),
    )


def classes(source: Path) -> dict[Path, str | None]:
    """Return the folders in which those of the classes lie, and the split that each is; None where there are none.

    Raises:
        DataError: no folder is there, or only some are splits.

    """
    folders = folders_in(source)
    if not folders:
        raise DataError(f"{source}: no folder is in it; a folder for each class is expected, such as {source}/happy")
    splits = {folder: SPLITS.get(folder.name.lower()) for folder in folders}
    if not any(splits.values()):
        return {source: None}
    if odd := [folder.name for folder, split in splits.items() if split is None]:
        raise DataError(f"{source}: {', '.join(odd)} lies beside folders of splits and is none itself")
    return dict(splits)


def read_classes(source: Path, emotions: Mapping[str, Emotion]) -> tuple[PublishedFace, ...]:
    """Return the pictures in the folders that `emotions` names, split by split.

    Raises:
        DataError: a folder of a class is not there or has no picture.

    """
    found = []
    for parent, split in classes(source).items():
        for folder in folders_in(parent):
            if folder.name not in emotions:
                raise DataError(f"{folder}: no class of this set is called so; it has {', '.join(emotions)}")
            pictures = pictures_in(folder)
            if not pictures:
                raise DataError(f"{folder}: the class is empty; remove the folder or put pictures into it")
            found += [
                PublishedFace(picture, f"{folder.name}/{picture.name}", emotions[folder.name], split)
                for picture in pictures
            ]
        if not folders_in(parent):
            raise DataError(f"{parent}: no folder of a class is in it")
    return tuple(found)
