"""Faces of a data set whose label a model doubts → the page on which a person decides."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from mien.align import Geometry, crop_square, face_frame
from mien.classifier import Classifier
from mien.collect.cutting import Cut
from mien.collect.decisions import Decision, Key
from mien.collect.pooling import ProgressHook, counted, in_threads
from mien.collect.review import Doubt, write_review
from mien.collect.suspects import find_suspects
from mien.collect.verdicts import Kept
from mien.sources import read_picture

SUSPECTS = "suspects.html"
MOST_SUSPECTS = 500
"""Faces on one page: those that are decided make room for others on the next run's."""

_CONTEXT = 1.7  # of a crop's side, shown where a person decides
_SHOWN = 256  # side of that in pixels


def write_suspects(
    target: Path,
    kept: Sequence[Kept],
    cut: Cut,
    classifier: Classifier,
    obeyed: Mapping[Key, Decision],
    geometry: Geometry,
    progress: ProgressHook,
) -> tuple[int, int]:
    """Write the page of faces whose label is in doubt, and return how many there are, and are on it."""
    labels = [one.label for one in kept]
    outputs = classifier.metadata.outputs
    # of the model's outputs the one that knows most of the labels
    chosen = max(range(len(outputs)), key=lambda i: (len(set(outputs[i].labels) & set(labels)), -i))
    known, probabilities = outputs[chosen].labels, (cut.judged or [])[chosen]
    found = [one for one in find_suspects(labels, probabilities, known) if not kept[one.index].decided]
    shown = found[:MOST_SUSPECTS]

    def doubt(i: int) -> Doubt:
        one = kept[shown[i].index]
        pixels = read_picture(one.candidate.path).pixels
        frame = face_frame(one.seen.detection, geometry)
        wide = crop_square(
            pixels, replace(frame, side=frame.side * _CONTEXT, turn=0.0), size=min(_SHOWN, round(frame.side * 2))
        )
        jpeg = io.BytesIO()
        Image.fromarray(wide).save(jpeg, "JPEG", quality=85)
        scores = dict(zip(known, probabilities[shown[i].index].tolist(), strict=True))
        return Doubt(
            one.key, one.label, shown[i].other, scores, jpeg.getvalue(), one.candidate.file, one.candidate.facts
        )

    doubts = list(counted(in_threads(doubt, range(len(shown))), "suspects", len(shown), progress))
    write_review(
        target / SUSPECTS,
        doubts,
        labels=sorted({*labels, *known}),
        model=classifier.identity,
        found=len(found),
        before=obeyed,
    )
    return len(found), len(shown)
