"""Splits that are drawn: by source, so that nothing that is trained on comes back in a test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.carrying import Carried, put_picture, write_carried
from mien.datasets.duplicates import first_of_group, pairs_of
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.datasets.staging import staged_folder
from mien.datasets.writing import SIDE, check_apart, check_unused, relate
from mien.errors import UsageError

SOURCES = ("picture", "page")
"""The columns by which faces are known to come from one picture, or from one page."""

_SPLIT = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What `split_faces` wrote.

    Attributes:
        pictures: by split and label.
        origins: how many sources there are.
        largest: pictures of the source that has most of them.

    """

    pictures: Mapping[tuple[str, str], int]
    origins: int
    largest: int


def split_faces(
    data: str | Path,
    out: str | Path,
    *,
    shares: Mapping[str, float],
    seed: int = 0,
    link: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Drawn:
    """Write a data set anew with splits drawn by source.

    All pictures that come from one picture or page, or look the same, fall in one split. Within that, every label has
    its shares as nearly as can be.

    Args:
        data: the data set; its own splits are given up.
        out: the folder to make; it appears under this name only when it is whole.
        shares: by split, summing to 1.
        seed: of the draw.
        link: make symbolic links to the pictures instead of copies.
        overwrite: replace a data set `out` that is there.
        progress: is told how far the work is.

    Raises:
        DataError: `data` is no data set.
        OutputError: `out` cannot be written.
        SourceError: a picture cannot be read.
        UsageError: `out` is there and may not be replaced, or a split would be empty.

    """
    data, out = Path(data), Path(out)
    check_unused(out, overwrite=overwrite)
    check_apart(out, data)
    faces = read_labelled_faces(data)
    progress("pictures", 0, 0)
    relations = relate(faces.pictures(SIDE)).joined(pairs_of(faces.groups.tolist()), pairs_of(faces.similar.tolist()))
    origins = origins_of(faces, relations.similar)
    labels = faces.labels.tolist()
    splits = draw_splits(labels, origins, shares, seed=seed)
    if empty := [name for name in shares if name not in splits]:
        raise UsageError(
            f"{data}: it has fewer sources, {len(set(origins.tolist()))}, than there are splits, so that {empty[0]} "
            "would be empty; leave one out of --shares"
        )
    carried = Carried.of(faces, splits)
    with staged_folder(out) as folder:
        for done, (source, name) in enumerate(zip(faces.file_names, carried.names, strict=True), start=1):
            put_picture(data / source, folder, name, link=link)
            progress("copies", done, len(faces))
        write_carried(folder, [carried], relations=relations, origins=origins, description=faces.description)
    return Drawn(
        pictures=Counter(zip(splits, labels, strict=True)),
        origins=len(set(origins.tolist())),
        largest=max(Counter(origins.tolist()).values()),
    )


def origins_of(faces: LabelledFaces, similar: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each face the index of the first that comes from the same source.

    Args:
        faces: n faces; what they say of their origin counts, and the columns in `SOURCES`.
        similar: (n,) index of the first face that looks the same as each.

    """
    pairs = pairs_of(similar.tolist()) + pairs_of(faces.origins.tolist())
    for name in SOURCES:
        if name in faces.columns:
            pairs += pairs_of(faces.columns[name].tolist())
    return first_of_group(len(faces), pairs)


def draw_splits(
    labels: Sequence[str], similar: NDArray[np.int64], shares: Mapping[str, float], *, seed: int = 0
) -> list[str]:
    """Return a split for each of n pictures, drawn so that every class has its `shares` of each.

    The largest groups are placed first, each where most is missing, so that the small ones make up for them. The last
    ones fall to splits that are still empty: none is, where there are as many groups as splits.

    Args:
        labels: (n,) class of each picture.
        similar: (n,) equal for pictures that look the same, which stay together whatever their class.
        shares: by split, summing to 1.
        seed: of the draw.

    """
    random = np.random.default_rng(seed)
    members: dict[int, list[int]] = {}
    for i in random.permutation(len(labels)).tolist():
        members.setdefault(int(similar[i]), []).append(i)
    splits = [""] * len(labels)
    totals = Counter(labels)
    missing = {(label, name): share * totals[label] for label in totals for name, share in shares.items()}
    empty = dict.fromkeys(shares)
    for number, group in enumerate(sorted(members.values(), key=len, reverse=True)):
        open_to = empty if len(members) - number <= len(empty) else shares
        chosen = max(open_to, key=lambda name: sum(missing[labels[i], name] for i in group))
        empty.pop(chosen, None)
        for i in group:
            splits[i] = chosen
            missing[labels[i], chosen] -= 1
    return splits


def parse_shares(text: str, *, option: str) -> dict[str, float]:
    """Return the splits that an option names, with their shares.

    Args:
        text: one name, or shares as in `train=0.8,test=0.2`.
        option: what errors call it.

    Raises:
        UsageError: it makes no sense.

    """
    shares = {}
    for part in text.split(","):
        name, given, share = part.strip().partition("=")
        try:
            value = float(share) if given else 1.0
        except ValueError:
            value = 0.0
        if not _SPLIT.fullmatch(name) or name in shares or not 0.0 < value <= 1.0:
            raise UsageError(f"{option} {text}: it is a name, or shares as in train=0.8,test=0.2")
        shares[name] = value
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise UsageError(f"{option} {text}: the shares sum to {sum(shares.values()):g} instead of 1")
    return shares
