"""A run → one .onnx file that describes itself, compared with torch and scored before it gets its name."""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

import mien
from mien.align import FER2013
from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.errors import DataError, ModelError, OutputError, UsageError
from mien.evaluation.calibration import fit_temperature
from mien.evaluation.scores import Score, evaluate, headlines
from mien.evaluation.truth import labellings, positions
from mien.models.metadata import KEY, Metadata, Output
from mien.models.session import Session
from mien.training.folder import RunFolder, fingerprint
from mien.training.network import EmbeddedNetwork, build_network
from mien.training.recipe import Recipe, shipped_recipe
from mien.training.targets import FER2013_OUTPUT, PIXEL_MEAN, PIXEL_SCALE, VOTES_OUTPUT

VALIDATION = "public_test"
TOLERANCE = 1e-4
"""Largest difference of a logit between torch and the exported file."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: the epoch it is from, the difference from torch, the headlines of the scores it carries."""

    epoch: int
    difference: float
    temperatures: Mapping[str, float]
    scores: tuple[Score, ...]


def export_run(
    run: str | Path,
    file: str | Path,
    *,
    data: str | Path | None = None,
    licence: str = "not stated",
    overwrite: bool = False,
) -> ExportReport:
    """Write the best checkpoint of `run` as `file`, with its temperatures fitted on `public_test` and its scores.

    Args:
        run: a folder made by `train`; the run need not have ended.
        file: the .onnx file; it appears under this name when it is whole and checked.
        data: the labelled faces to score on, where they have moved since training.
        licence: on what terms the weights may be used.
        overwrite: replace a file that exists.

    Raises:
        DataError: the run or the data cannot be read, or the data are not those of the run.
        ModelError: the file differs from torch by more than `TOLERANCE`.
        OutputError: `file` cannot be written.
        UsageError: `file` exists.
    """
    source, file = RunFolder(run), Path(file)
    if file.exists() and not overwrite:
        raise UsageError(f"{file}: it exists already; name another file or pass --overwrite")
    recipe, facts = source.read()
    checkpoint = _read_checkpoint(source.best)
    folder = Path(data or facts["data"])
    if fingerprint(folder) != facts["data_sha256"]:
        raise DataError(f"{folder}: it is not the data that {source.path} was trained on")
    faces = read_labelled_faces(folder)

    network = _network(recipe, checkpoint)
    model = _to_onnx(network, recipe.size)
    difference = _difference(model, network, recipe.size)
    if not difference <= TOLERANCE:
        raise ModelError(f"{file}: the exported network differs from torch by {difference:.2g}")
    metadata = Metadata(
        name="embedded",
        outputs=(Output("votes", VOTES_OUTPUT, 1.0), Output("fer2013", FER2013_OUTPUT, 1.0)),
        size=recipe.size,
        colour="grey",
        mean=PIXEL_MEAN,
        scale=PIXEL_SCALE,
        crop=asdict(FER2013),
        data=faces.description,
        licence=licence,
        scores=(),
        reproduce=_command(recipe, licence),
        mien=mien.__version__,
        extra={"epoch": int(checkpoint["epoch"]), "run": _portable(facts), "recipe": recipe.to_toml()},
    )
    session = Session(model.SerializeToString(), name=str(file))
    metadata = _calibrated(Classifier(session, metadata, identity=str(file)), faces.split(VALIDATION))
    classifier = Classifier(session, metadata, identity=str(file))
    scores = [score for split in (VALIDATION, "private_test") for score in evaluate(classifier, faces, split=split)]
    _save(model, replace(metadata, scores=tuple(score.to_claim() for score in scores)), file)
    return ExportReport(
        epoch=int(checkpoint["epoch"]),
        difference=difference,
        temperatures={output.name: output.temperature for output in metadata.outputs},
        scores=tuple(headlines([score for score in scores if score.split != VALIDATION])),
    )


def _calibrated(classifier: Classifier, faces: LabelledFaces) -> Metadata:
    """Return the metadata with the temperature of each output fitted on one pass over `faces`."""
    metadata = classifier.metadata
    answers = classifier(faces.pictures(metadata.size, grey=classifier.grey))
    outputs = list(metadata.outputs)
    for index, _, truth in labellings(metadata.outputs, faces):
        wanted = positions(truth, outputs[index].labels)
        outputs[index] = replace(outputs[index], temperature=round(fit_temperature(answers[index], wanted), 4))
    return replace(metadata, outputs=tuple(outputs))


def _portable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's facts without the paths of the machine that it ran on."""
    return {key: value for key, value in facts.items() if key != "data"}


def _network(recipe: Recipe, checkpoint: Mapping[str, Any]) -> EmbeddedNetwork:
    network = build_network(recipe)
    weights = {
        name.removeprefix("network."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise DataError(f"the checkpoint is of another network than its recipe.toml says ({error})") from error
    return network.eval()


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: the run has no whole epoch yet") from error
    except Exception as error:  # torch.load raises what its unpicklers raise
        raise DataError(f"{path}: the checkpoint cannot be read ({error}); try again between epochs") from error
    return checkpoint


def _command(recipe: Recipe, licence: str) -> str:
    """Return the commands that make the model again."""
    shipped = shipped_recipe("embedded")
    changed = [
        f" --set {shlex.quote(f'{field.name}={recipe.value_as_toml(field.name)}')}"
        for field in fields(Recipe)
        if getattr(recipe, field.name) != getattr(shipped, field.name)
    ]
    return (
        "mien data unpack-fer fer2013.csv DATA --ferplus fer2013new.csv && "
        f"mien train embedded --data DATA --run RUN{''.join(changed)} && "
        f"mien export RUN embedded.onnx --licence {shlex.quote(licence)}"
    )


def _to_onnx(network: EmbeddedNetwork, size: int) -> onnx.ModelProto:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch's exporter, about its own workings
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 1, size, size),),
            input_names=["faces"],
            output_names=["votes", "fer2013"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch's exporter gave no program")
    model: onnx.ModelProto = program.model_proto
    strip_traces(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about the machine and source lines it ran from."""
    del model.metadata_props[:]
    graph = model.graph
    for entry in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del entry.metadata_props[:]
        entry.ClearField("doc_string")


def _difference(model: onnx.ModelProto, network: EmbeddedNetwork, size: int) -> float:
    """Return the largest difference of a logit on faces of noise, smooth and rough."""
    random = np.random.default_rng(0)
    faces = random.normal(size=(16, 1, size, size)).astype(np.float32)
    faces[8:] = faces[8:].cumsum(axis=2).cumsum(axis=3) / size
    with torch.inference_mode():
        expected: tuple[Tensor, ...] = network(torch.from_numpy(faces))
    answers = Session(model.SerializeToString(), name="export")(faces)
    return max(float(np.abs(got - want.numpy()).max()) for got, want in zip(answers, expected, strict=True))


def _save(model: onnx.ModelProto, metadata: Metadata, file: Path) -> None:
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, partial)
        partial.replace(file)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
