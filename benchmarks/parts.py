"""The parts of an analysis, each alone: decoding, detection, alignment, classification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.arithmetic import multiply_adds
from benchmarks.clock import Row, timed
from benchmarks.int8 import open_int8
from benchmarks.pictures import mosaic
from benchmarks.plan import Plan
from mien.align import crop_faces
from mien.classifier import Classifier, open_classifier
from mien.detectors import open_detector
from mien.sources import read_picture


def measure_parts(plan: Plan, rate: float) -> Iterator[Row]:
    """Yield decoding, detection, alignment and classification; `rate` is that of arithmetic, a second."""
    detector, classifier = open_detector("mtcnn"), open_classifier()
    for size in plan.sizes:
        stored = mosaic(1, size)
        yield timed("decode", f"{size[0]}x{size[1]} JPEG", partial(read_picture, stored), plan.runs)
    for size in plan.sizes:
        for faces in plan.faces:
            frame = read_picture(mosaic(faces, size))
            work = partial(detector, [frame])
            measured = timed("detector", f"{size[0]}x{size[1]}, {faces} faces", work, plan.runs)
            arithmetic = 1000.0 * multiply_adds(work) / rate
            yield replace(measured, faces=len(work()[0]), arithmetic=arithmetic)
    for faces in plan.faces:
        frame = read_picture(mosaic(faces, plan.sizes[min(1, len(plan.sizes) - 1)]))
        (found,) = detector([frame])
        align = partial(
            crop_faces,
            frame.pixels,
            found,
            size=classifier.metadata.size,
            geometry=classifier.geometry,
            grey=classifier.grey,
        )
        yield replace(timed("alignment", f"{faces} faces", align, plan.runs), faces=len(found))
    yield from _classification("classifier fp32", classifier, plan, rate)
    int8 = open_int8(classifier)
    if int8 is not None:
        yield from _classification("classifier int8", int8, plan, rate)


def _classification(kind: str, classifier: Classifier, plan: Plan, rate: float) -> Iterator[Row]:
    size = classifier.metadata.size
    shape = (size, size) if classifier.grey else (size, size, 3)
    for batch in plan.batches:
        crops = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)
        work = partial(classifier, crops)
        measured = timed(kind, f"a face, in batches of {batch}", work, plan.runs, items=batch)
        # the same multiply-adds, whatever the width of the numbers: int8 may well be below its floor
        exact = partial(open_classifier(), crops)
        yield replace(measured, faces=batch, arithmetic=1000.0 * multiply_adds(exact) / rate / batch)
