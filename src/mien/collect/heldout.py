"""Pictures that must not be among those to train on, since something is tested on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.collect.findings import Finding
from mien.collect.likeness import FACE_SIDE, framed
from mien.datasets.labelled import METADATA, read_labelled_faces
from mien.errors import SourceError
from mien.sources import read_picture
from mien.sources.folder import SUFFIXES


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Faces to keep out.

    Attributes:
        sha256: the name of each picture, by the sha256 of its bytes.
        names: of the picture that each of the faces is in.
        faces: (n, FACE_SIDE, FACE_SIDE), grey.
        cut: how many of them, the first, are of data sets, which may have been turned when they were cut out.

    """

    sha256: Mapping[str, str]
    names: Sequence[str]
    faces: NDArray[np.uint8]
    cut: int


def read_held_out(folders: Sequence[Path], find: Callable[[Sequence[Path]], Iterable[Finding]]) -> HeldOut:
    """Return the faces in `folders`: data sets, or folders of any pictures, in folders or not.

    Args:
        folders: to look in.
        find: says what is in pictures.

    Raises:
        DataError: a data set is damaged.
        SourceError: a folder is not there or has no picture, or a picture of a data set cannot be read.

    """
    known: dict[str, str] = {}
    names: list[str] = []
    faces: list[NDArray[np.uint8]] = []
    cut = 0
    for folder in sorted(folders, key=lambda folder: not _is_data_set(folder)):
        pictures = _of_data_set(folder, known) if _is_data_set(folder) else _of_folder(folder, find, known)
        for name, face in pictures:
            names.append(name)
            faces.append(face)
        if _is_data_set(folder):
            cut = len(faces)
    return HeldOut(known, names, np.stack(faces) if faces else np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8), cut)


def _is_data_set(folder: Path) -> bool:
    return (folder / METADATA).is_file()


def _of_data_set(folder: Path, known: dict[str, str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the pictures of a data set, which are faces, and note what they were cut from."""
    labelled = read_labelled_faces(folder)
    for name, sha256 in zip(labelled.file_names, labelled.columns.get("picture", np.array([])), strict=False):
        known.setdefault(str(sha256), f"{folder}/{name}")
    yield from zip((f"{folder}/{name}" for name in labelled.file_names), labelled.pictures(FACE_SIDE), strict=True)


def _of_folder(
    folder: Path, find: Callable[[Sequence[Path]], Iterable[Finding]], known: dict[str, str]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the faces in the pictures of a folder; what no face is found in may be one already."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder to hold pictures out by")
    paths = _pictures_in(folder)
    for path, finding in zip(paths, find(paths), strict=True):
        if finding.error is not None:  # what cannot be read nothing is tested on
            continue
        known.setdefault(finding.sha256, str(path))
        if finding.faces:
            for face in framed(np.stack([seen.view for seen in finding.faces])):
                yield str(path), face
        else:
            yield str(path), _small(path)


def _pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, also in those that links in it lead to: what is overlooked is trained on.

    Raises:
        SourceError: there is none, or a folder cannot be read.

    """
    found, seen, waiting = [], set(), [folder]
    while waiting:
        parent = waiting.pop()
        if (real := parent.resolve()) in seen:  # a link that leads back up
            continue
        seen.add(real)
        try:
            entries = sorted(entry for entry in parent.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise SourceError(f"{parent}: the folder cannot be read ({error.strerror or error})") from error
        found += [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
        waiting += [path for path in reversed(entries) if path.is_dir()]
    if not found:
        raise SourceError(f"{folder}: no picture is in this folder to hold out")
    return found


def _small(path: Path) -> NDArray[np.uint8]:
    picture = Image.fromarray(read_picture(path).pixels).convert("L")
    return np.asarray(picture.resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BILINEAR))
