"""Other people's layouts → the one layout on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.align import crop_faces
from mien.datasets.affectnet import find_annotated, find_lists, read_affectnet
from mien.datasets.folders import read_folders
from mien.datasets.found import PublishedFace, Source
from mien.datasets.naming import place_in
from mien.datasets.rafdb import find_list, find_numbered, read_rafdb
from mien.datasets.splitting import draw_splits, parse_shares
from mien.datasets.staging import staged_folder
from mien.datasets.writing import SIDE, Relations, check_unused, relate, write_metadata
from mien.emotions import Emotion
from mien.errors import DataError, SourceError, UsageError
from mien.results import Detection
from mien.sources import read_picture

Layout = Literal["auto", "folders", "rafdb", "affectnet"]

READERS: Mapping[str, Callable[[Path], Source]] = {
    "folders": read_folders,
    "rafdb": read_rafdb,
    "affectnet": read_affectnet,
}
LARGEST_CROP = 224
"""Side, in pixels, that faces which are cut out are reduced to: the input of the larger networks."""

_TERMS = "Imported by mien, which does not know on what terms the pictures may be used: that is yours to check"


@dataclass(frozen=True, slots=True)
class Imported:
    """What `import_faces` wrote.

    Attributes:
        layout: that was read.
        pictures: by split.
        labels: pictures by emotion.
        not_emotions: how many faces the set itself calls no emotion or no face, which are left out.
        skipped: of each face that was left out because it is bad, what is wrong.
        copies: how many are copies of an earlier one.
        train_copies_of_test: how many of `train` are copies of a picture of another split.
        train_similar_to_test: how many look the same as one.

    """

    layout: str
    pictures: Mapping[str, int]
    labels: Mapping[Emotion, int]
    not_emotions: int
    skipped: tuple[str, ...]
    copies: int
    train_copies_of_test: int
    train_similar_to_test: int


def import_faces(
    source: str | Path,
    out: str | Path,
    *,
    layout: Layout = "auto",
    split: str | None = None,
    link: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> Imported:
    """Write a set of labelled faces, as its makers lay it out, as one that mien reads.

    Pictures keep their files' bytes; faces that are to be cut out become PNG files.

    Args:
        source: its folder.
        out: the folder to make; it appears under this name only when it is whole.
        layout: `folders` (one a class), `rafdb`, `affectnet`, or `auto`: the one that the files look like.
        split: of a set without splits, the one that all pictures are put in (default: train), or shares such as
            `train=0.8,test=0.2`, by which each class is drawn; pictures that look the same stay together.
        link: make symbolic links to the pictures instead of copies.
        skip_bad: leave out faces that cannot be read or are not labelled as published.
        overwrite: replace a folder `out` that an earlier run made.

    Raises:
        DataError: the set is not laid out as expected, or has fewer than two pictures.
        OutputError: `out` cannot be written.
        SourceError: a picture cannot be read.
        UsageError: `out` exists and may not be replaced, or `split` makes no sense.

    """
    source, out = Path(source), Path(out)
    shares = parse_shares("train" if split is None else split, option="--split")
    check_unused(out, overwrite=overwrite)
    if source.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{out}: the pictures to import lie in it, so it cannot be replaced; name another folder")
    found, read = _read(source, layout)
    faces, not_emotions, skipped = _usable(read.faces, skip_bad=skip_bad)
    if split is not None and faces and all(face.split is not None for face in faces):
        own = ", ".join(sorted({str(face.split) for face in faces}))
        raise UsageError(f"{source}: it has splits of its own, {own}; leave out --split")

    with staged_folder(out) as folder:
        waiting = folder / ".reading"
        waiting.mkdir()
        kept: list[PublishedFace] = []
        small = []
        for face in faces:
            try:
                small.append(_take(face, waiting / str(len(kept)), link=link))
            except SourceError as error:
                if not skip_bad:
                    raise
                skipped.append(str(error))
            else:
                kept.append(face)
        _check_enough(source, kept, skipped)
        relations = relate(np.stack(small))
        labels = [face.label for face in kept if face.label is not None]  # all have one
        open_ones = [i for i, face in enumerate(kept) if face.split is None]
        drawn = iter(draw_splits([labels[i] for i in open_ones], relations.similar[open_ones], shares))
        splits = [face.split or next(drawn) for face in kept]
        names = [f"{split}/{face.name}" for split, face in zip(splits, kept, strict=True)]
        for i, name in enumerate(names):
            (waiting / str(i)).rename(place_in(folder, name))
        waiting.rmdir()
        columns = dict.fromkeys(name for face in kept for name in face.columns)
        write_metadata(
            folder,
            names=names,
            splits=splits,
            labels=labels,
            relations=relations,
            columns={name: [face.columns.get(name, "") for face in kept] for name in columns},
            description=(*read.description, _TERMS),
        )
    return _report(found, splits, labels, relations, not_emotions, skipped)


def _read(source: Path, layout: str) -> tuple[str, Source]:
    if not source.is_dir():
        raise DataError(f"{source}: there is no such folder")
    try:
        if layout == "auto":
            layout = _layout(source)
        return layout, READERS[layout](source)
    except OSError as error:
        raise DataError(f"{error.filename or source}: cannot be read ({error.strerror or error})") from error


def _layout(source: Path) -> str:
    if find_list(source):
        return "rafdb"
    if find_lists(source) or find_annotated(source):
        return "affectnet"
    return "rafdb" if find_numbered(source) else "folders"


def _usable(faces: Sequence[PublishedFace], *, skip_bad: bool) -> tuple[list[PublishedFace], int, list[str]]:
    """Return the faces to read, how many are no emotions, and what is wrong with the others."""
    usable, skipped, not_emotions, taken = [], [], 0, set()
    for face in faces:
        problem = face.problem
        if problem is None and (face.split, face.name) in taken:
            problem = f"{face.picture}: it is listed twice, or another is called the same"
        if problem is None and not _is_text(face.name):
            problem = f"{face.picture}: its name is not text in UTF-8"
        if problem is not None:
            if not skip_bad:
                raise DataError(problem)
            skipped.append(problem)
        elif face.label is None:
            not_emotions += 1
        else:
            usable.append(face)
            taken.add((face.split, face.name))
    return usable, not_emotions, skipped


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _take(face: PublishedFace, target: Path, *, link: bool) -> NDArray[np.uint8]:
    """Put the picture of a face at `target`, and return it small and grey, (SIDE, SIDE).

    Raises:
        SourceError: it cannot be read.

    """
    try:
        content = face.picture.read_bytes()
    except OSError as error:
        raise SourceError(f"{face.picture}: cannot be read ({error.strerror or error})") from error
    pixels = read_picture(content, name=str(face.picture)).pixels
    if face.box is not None:
        pixels = _cut(pixels, face.box)
        Image.fromarray(pixels).save(target, "PNG")
    elif link:
        target.symlink_to(face.picture.resolve())
    else:
        target.write_bytes(content)
    small = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)


def _cut(pixels: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Return the square about `box`, in colour, no larger than LARGEST_CROP."""
    side = max(1, round(min(LARGEST_CROP, max(box[2] - box[0], box[3] - box[1]))))
    crop: NDArray[np.uint8] = crop_faces(pixels, [Detection(box, is_crop=True)], size=side, grey=False)[0]
    return crop


def _check_enough(source: Path, kept: Sequence[PublishedFace], skipped: Sequence[str]) -> None:
    bad = f"; {len(skipped)} were left out, the first because of {skipped[0]}" if skipped else ""
    if not kept:
        raise DataError(f"{source}: no labelled picture is in it{bad}")
    if len(kept) == 1:
        raise DataError(f"{source}: a single picture, {kept[0].picture}, is no data set{bad}")


def _report(
    layout: str,
    splits: Sequence[str],
    labels: Sequence[Emotion],
    relations: Relations,
    not_emotions: int,
    skipped: Sequence[str],
) -> Imported:
    copies, similar = relations.across(np.array(splits) == "train")
    return Imported(
        layout=layout,
        pictures=dict(Counter(splits)),
        labels=dict(sorted(Counter(labels).items())),
        not_emotions=not_emotions,
        skipped=tuple(skipped),
        copies=relations.copies,
        train_copies_of_test=copies,
        train_similar_to_test=similar,
    )
