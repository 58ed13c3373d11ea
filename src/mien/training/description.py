"""What makes a network a model file: temperatures that are fitted, and a name that it takes when it is whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.evaluation.calibration import fit_temperature
from mien.evaluation.truth import labellings, positions
from mien.models.metadata import KEY, Metadata
from mien.models.session import Session
from mien.whole import whole_file


def calibrated(session: Session, metadata: Metadata, faces: LabelledFaces, *, name: str) -> Metadata:
    """Return the metadata with the temperature of each output fitted on one pass over `faces`.

    Raises:
        ModelError: the network, called `name` in errors, is not as the metadata describe it.
        SourceError: a picture cannot be read.

    """
    outputs = [replace(output, temperature=1.0) for output in metadata.outputs]
    classifier = Classifier(session, replace(metadata, outputs=tuple(outputs)), identity=name)
    answers = classifier(faces.pictures(metadata.size, grey=classifier.grey))
    for index, _, truth in labellings(metadata.outputs, faces):
        wanted = positions(truth, outputs[index].labels)
        outputs[index] = replace(outputs[index], temperature=round(fit_temperature(answers[index], wanted), 4))
    return replace(metadata, outputs=tuple(outputs))


def save(model: onnx.ModelProto, metadata: Metadata, file: Path) -> None:
    """Write a network and its description, and nothing else of its metadata, as `file`.

    Raises:
        OutputError: it cannot be written; what was there before is kept.

    """
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    with whole_file(file) as partial:
        onnx.save(model, partial)
