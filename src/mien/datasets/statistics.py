"""What is in a data set, in numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.datasets.labelled import METADATA, read_labelled_faces
from mien.errors import DataError


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is in a data set.

    Attributes:
        pictures: how many.
        counts: by split and label.
        sizes: how many pictures of each width, height and kind (grey or colour).
        missing: pictures that are not there or cannot be opened, by name.
        copies: how many are copies of an earlier one.
        similar: how many look the same as an earlier one, copies among them.
        origins: how many sources there are, as far as the set knows.
        train_copies_of_test: how many of `train` are copies of a picture of another split.
        train_similar_to_test: how many look the same as one.
        origins_on_both_sides: sources of which some faces are in `train` and some in another split.
        votes: whether it has the votes of raters.
        columns: what else it says of the faces.
        licences: how many faces under each, where it says; empty where it says nothing.
        description: what it is and on what terms.
        fingerprint: sha256 of its metadata, as a run's `data_sha256`.
        content: sha256 over the names and bytes of all pictures that are there.

    """

    pictures: int
    counts: Mapping[tuple[str, str], int]
    sizes: Mapping[tuple[int, int, str], int]
    missing: tuple[str, ...]
    copies: int
    similar: int
    origins: int
    train_copies_of_test: int
    train_similar_to_test: int
    origins_on_both_sides: int
    votes: bool
    columns: tuple[str, ...]
    licences: Mapping[str, int]
    description: tuple[str, ...]
    fingerprint: str
    content: str

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        counts: dict[str, dict[str, int]] = {}
        for (split, label), count in sorted(self.counts.items()):
            counts.setdefault(split, {})[label] = count
        return {
            "pictures": self.pictures,
            "counts": counts,
            "sizes": [
                {"width": width, "height": height, "colour": kind, "pictures": count}
                for (width, height, kind), count in sorted(self.sizes.items())
            ],
            "missing": list(self.missing),
            "copies": self.copies,
            "similar": self.similar,
            "origins": self.origins,
            "train_copies_of_test": self.train_copies_of_test,
            "train_similar_to_test": self.train_similar_to_test,
            "origins_on_both_sides": self.origins_on_both_sides,
            "votes": self.votes,
            "columns": list(self.columns),
            "licences": dict(self.licences),
            "description": list(self.description),
            "fingerprint": self.fingerprint,
            "content": self.content,
        }


def data_statistics(
    data: str | Path, *, progress: Callable[[str, int, int], None] = lambda what, done, of: None
) -> Statistics:
    """Return what is in the data set `data`.

    Raises:
        DataError: it is none.

    """
    faces = read_labelled_faces(data)
    try:
        fingerprint = hashlib.sha256((faces.root / METADATA).read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{faces.root / METADATA}: cannot be read ({error.strerror or error})") from error
    sizes: Counter[tuple[int, int, str]] = Counter()
    missing, content = [], hashlib.sha256()
    for done, name in enumerate(faces.file_names, start=1):
        progress("pictures", done, len(faces))
        path = faces.root / name
        try:
            if not path.is_file():  # such as a device, which has no end
                raise FileNotFoundError
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            with Image.open(path) as picture:
                sizes[*picture.size, "grey" if picture.mode in ("1", "L", "LA", "I;16") else "colour"] += 1
        except (OSError, ValueError, Image.DecompressionBombError):
            missing.append(name)
            continue
        content.update(f"{name}\0{digest}\n".encode())
    train, origins = faces.splits == "train", faces.origins
    both = np.intersect1d(origins[train], origins[~train])
    licences = Counter(faces.columns["licence"].tolist()) if "licence" in faces.columns else Counter[str]()
    return Statistics(
        pictures=len(faces),
        counts=Counter(zip(faces.splits.tolist(), faces.labels.tolist(), strict=True)),
        sizes=sizes,
        missing=tuple(missing),
        copies=len(faces) - len(np.unique(faces.groups)),
        similar=len(faces) - len(np.unique(faces.similar)),
        origins=len(np.unique(origins)),
        train_copies_of_test=int(np.isin(faces.groups[train], faces.groups[~train]).sum()),
        train_similar_to_test=int(np.isin(faces.similar[train], faces.similar[~train]).sum()),
        origins_on_both_sides=len(both),
        votes=faces.votes is not None,
        columns=tuple(faces.columns),
        licences={name or "not known": count for name, count in licences.most_common()},
        description=faces.description,
        fingerprint=fingerprint,
        content=content.hexdigest(),
    )
