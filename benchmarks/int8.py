"""The shipped classifier computed with in 8 bits, to measure its speed; `mien models compress` tells its accuracy."""

from __future__ import annotations

import onnx

from mien.align import crop_faces
from mien.classifier import Classifier
from mien.detectors import open_detector
from mien.evaluation.scenes import scene
from mien.models.session import Session
from mien.models.store import read_model


def open_int8(classifier: Classifier, model: str = "embedded") -> Classifier | None:
    """Return `model` in 8 bits, calibrated on the faces of a mosaic, or None where the extra `train` is missing."""
    try:
        from mien.training.compression import quantise, widen
    except ImportError:
        return None
    whole = onnx.load_from_string(read_model(model).content)
    del whole.metadata_props[:]
    frame = scene(30)
    (found,) = open_detector("mtcnn")([frame])
    crops = crop_faces(
        frame.pixels, found, size=classifier.metadata.size, geometry=classifier.geometry, grey=classifier.grey
    )
    small = quantise(widen(whole), classifier.prepare(crops))
    session = Session(small.SerializeToString(), name=f"{model} in 8 bits")
    return Classifier(session, classifier.metadata, identity=f"{model} in 8 bits")
