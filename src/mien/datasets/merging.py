"""Several data sets → one, in which copies across them are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.carrying import Carried, put_picture, write_carried
from mien.datasets.duplicates import first_of_group, pairs_of
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.datasets.naming import free_name
from mien.datasets.splitting import SOURCES
from mien.datasets.staging import staged_folder
from mien.datasets.writing import SIDE, check_apart, check_unused, relate
from mien.errors import UsageError


@dataclass(frozen=True, slots=True)
class Merged:
    """What `merge_faces` wrote.

    Attributes:
        sets: pictures of each set, by what it is called in the new one.
        pictures: by split and label.
        copies: how many are copies of an earlier one.
        train_copies_of_test: how many of `train` are copies of a picture of another split.
        train_similar_to_test: how many look the same as one.

    """

    sets: Mapping[str, int]
    pictures: Mapping[tuple[str, str], int]
    copies: int
    train_copies_of_test: int
    train_similar_to_test: int


def merge_faces(
    sets: Sequence[str | Path],
    out: str | Path,
    *,
    link: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Merged:
    """Write the faces of several data sets as one, each in the split that it is in.

    Their columns are united, and `set` says where each face is from. Copies are looked for across the sets, so that
    training leaves out what is tested on in another. Pictures may differ in size and colour: whoever reads them
    brings them to the size that is wanted.

    Args:
        sets: two or more.
        out: the folder to make; it appears under this name only when it is whole.
        link: make symbolic links to the pictures instead of copies.
        overwrite: replace a data set `out` that is there.
        progress: is told how far the work is.

    Raises:
        DataError: one is no data set.
        OutputError: `out` cannot be written.
        SourceError: a picture cannot be read.
        UsageError: `out` is there and may not be replaced, or the sets are fewer than two different ones.

    """
    roots, out = [Path(one) for one in sets], Path(out)
    if len({root.resolve() for root in roots}) < max(2, len(roots)):
        raise UsageError("merging takes two data sets or more, each once")
    check_unused(out, overwrite=overwrite)
    for root in roots:
        check_apart(out, root)
    read = [read_labelled_faces(root) for root in roots]
    carried = [
        Carried.of(faces, faces.splits.tolist(), called=called)
        for faces, called in zip(read, _called(roots), strict=True)
    ]
    progress("pictures", 0, 0)
    small = np.concatenate([faces.pictures(SIDE) for faces in read])
    relations = relate(small).joined(
        _pairs(read, lambda faces: faces.groups), _pairs(read, lambda faces: faces.similar)
    )
    # a picture or page is the same one in whatever set
    origins = pairs_of(relations.similar.tolist())
    origins += _pairs(read, lambda faces: faces.origins)
    for name in SOURCES:
        origins += pairs_of(value for one in carried for value in one.column(name))
    first = first_of_group(len(small), origins)
    with staged_folder(out) as folder:
        done = 0
        for one in carried:
            for source, name in zip(one.faces.file_names, one.names, strict=True):
                put_picture(one.faces.root / source, folder, name, link=link)
                done += 1
                progress("copies", done, len(small))
        description = dict.fromkeys(line for faces in read for line in faces.description)
        write_carried(folder, carried, relations=relations, origins=first, description=[*description])
    splits = np.concatenate([faces.splits for faces in read])
    copies, similar = relations.across(splits == "train")
    return Merged(
        sets={one.called: len(one.faces) for one in carried},
        pictures=Counter(zip(splits.tolist(), np.concatenate([f.labels for f in read]).tolist(), strict=True)),
        copies=relations.copies,
        train_copies_of_test=copies,
        train_similar_to_test=similar,
    )


def _called(roots: Sequence[Path]) -> list[str]:
    """Return a name for each set: that of its folder, with a number where another is called so."""
    taken: set[str] = set()
    return [free_name(root.resolve().name or "set", taken, suffix="") for root in roots]


def _pairs(
    read: Sequence[LabelledFaces], values: Callable[[LabelledFaces], NDArray[np.str_]]
) -> list[tuple[int, int]]:
    """Return the pairs within each set, as rows of all together."""
    pairs: list[tuple[int, int]] = []
    begin = 0
    for faces in read:
        pairs += pairs_of(values(faces).tolist(), begin=begin)
        begin += len(faces)
    return pairs
