"""Faces that are kept → the pictures and the metadata of a data set."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.align import FER2013, Geometry, crop_faces
from mien.classifier import Classifier
from mien.collect.candidates import FACTS, Candidates
from mien.collect.pooling import ProgressHook, counted, in_threads
from mien.collect.verdicts import Kept
from mien.datasets.duplicates import first_of_group, pairs_of
from mien.datasets.labelled import ORIGIN
from mien.datasets.writing import SIDE, Relations, relate, write_metadata
from mien.sources import read_picture

_TERMS = "Cleaned by mien, which does not know on what terms the pictures may be used: that is yours to check"
_WHERE = "Author, page and licence of each picture stand in metadata.csv; keep them with the data"


@dataclass(frozen=True, slots=True)
class Crop:
    """How faces are cut out.

    Attributes:
        size: side in pixels.
        grey: in grey, or else in colour.
        geometry: of the frame about the detector's box.

    """

    size: int = 112
    grey: bool = True
    geometry: Geometry = FER2013


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What was cut out of the pictures, face by face.

    Attributes:
        names: of the files written.
        small: (n, SIDE, SIDE) grey.
        judged: what the model says of each, (n, labels) for each of its outputs; None without one.

    """

    names: list[str]
    small: NDArray[np.uint8]
    judged: list[NDArray[np.float32]] | None


def write_faces(
    target: Path, kept: Sequence[Kept], crop: Crop, classifier: Classifier | None, progress: ProgressHook
) -> Cut:
    """Write a PNG for each face.

    Args:
        target: the folder of the data set.
        kept: n faces, those of one picture after each other.
        crop: how they are cut out.
        classifier: a model to say what it makes of each; None leaves that out.
        progress: is told how far the work is.

    Raises:
        SourceError: a picture has gone away.

    """
    names = _names(kept)
    pictures = [list(faces) for _, faces in groupby(kept, key=lambda one: one.sha256)]

    def cut(faces: Sequence[Kept]) -> list[tuple[bytes, NDArray[np.uint8], NDArray[np.uint8] | None]]:
        pixels = read_picture(faces[0].candidate.path).pixels
        detections = [one.seen.detection for one in faces]
        crops = crop_faces(pixels, detections, size=crop.size, geometry=crop.geometry, grey=crop.grey)
        seen: Sequence[NDArray[np.uint8] | None] = [None] * len(faces)
        if classifier is not None:
            seen = list(
                crop_faces(
                    pixels,
                    detections,
                    size=classifier.metadata.size,
                    geometry=classifier.geometry,
                    grey=classifier.grey,
                )
            )
        return [(*_encoded(one), other) for one, other in zip(crops, seen, strict=True)]

    small = np.empty((len(kept), SIDE, SIDE), np.uint8)
    seen: list[NDArray[np.uint8]] = []
    judged: list[list[NDArray[np.float32]]] = []
    written = 0
    for answers in counted(in_threads(cut, pictures), "crops", len(pictures), progress):
        for png, grey, other in answers:
            path = target / names[written]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)
            small[written] = grey
            written += 1
            if other is not None:
                seen.append(other)
        if classifier is not None and (len(seen) >= 64 or written == len(kept)):
            judged.append(classifier(np.stack(seen)))
            seen = []
    outputs = [np.concatenate(parts) for parts in zip(*judged, strict=True)] if judged else None
    return Cut(names, small, outputs)


def _names(kept: Sequence[Kept]) -> list[str]:
    """Return a file name for each face, short where that is enough to tell them apart."""
    short = [f"{one.candidate.split or 'train'}/{one.label}/{one.sha256[:16]}-{one.face}.png" for one in kept]
    if len(set(short)) == len(short):
        return short
    return [f"{one.candidate.split or 'train'}/{one.label}/{one.sha256}-{one.face}.png" for one in kept]


def _encoded(crop: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.uint8]]:
    """Return a crop as a PNG, and small and grey."""
    picture, png = Image.fromarray(crop), io.BytesIO()
    picture.save(png, "PNG", compress_level=3)
    return png.getvalue(), np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def describe_faces(target: Path, kept: Sequence[Kept], cut: Cut, candidates: Candidates) -> None:
    """Write the metadata and the description of the faces that `write_faces` has written."""
    relations = relate(cut.small)
    origins = _origins(kept, relations)
    columns: dict[str, Sequence[object]] = {
        ORIGIN: [cut.names[i] for i in origins.tolist()],
        "picture": [one.sha256 for one in kept],
        "face": [one.face for one in kept],
        "box": [" ".join(f"{edge:.1f}" for edge in one.seen.detection.box) for one in kept],
        "sharpness": [one.seen.sharpness for one in kept],
        "file": [one.candidate.file for one in kept],
    }
    if candidates.collected:
        columns |= {name: [one.candidate.facts.get(name, "") for one in kept] for name in FACTS}
    write_metadata(
        target,
        names=cut.names,
        splits=[one.candidate.split or "train" for one in kept],
        labels=[one.label for one in kept],
        relations=relations,
        columns=columns,
        description=_description(kept, candidates),
    )


def _origins(kept: Sequence[Kept], relations: Relations) -> NDArray[np.int64]:
    """Return for each face the first that comes from the same picture or page, or looks the same."""
    first: dict[str, int] = {}
    pairs = pairs_of(relations.similar.tolist())
    for i, one in enumerate(kept):
        pairs += [(j, i) for source in (one.sha256, *one.pages) if (j := first.setdefault(source, i)) != i]
    return first_of_group(len(kept), pairs)


def _description(kept: Sequence[Kept], candidates: Candidates) -> list[str]:
    if not candidates.collected:
        return [candidates.what, _TERMS]
    licences = {
        one.sha256: " ".join(filter(None, (one.candidate.facts["licence"], one.candidate.facts["licence_url"])))
        for one in kept
    }
    counts = sorted(Counter(licences.values()).items(), key=lambda item: (-item[1], not item[0], item[0]))
    told = [f"{licence or 'licence not known'}: {count} pictures" for licence, count in counts]
    return [candidates.what, *told, _WHERE]
