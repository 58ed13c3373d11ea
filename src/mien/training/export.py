"""A run → one .onnx file that describes itself, compared with torch and scored before it gets its name."""

from __future__ import annotations

import contextlib
import io
import logging
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import mien
from mien.align import FER2013, Geometry
from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.emotions import SETS
from mien.errors import DataError, ModelError, UsageError
from mien.evaluation.scores import Score, evaluate, headlines
from mien.models.metadata import Metadata, Output
from mien.models.session import Session
from mien.training.compression import Compressed, Storage, compress
from mien.training.description import calibrated, save
from mien.training.folder import RunFolder, fingerprint
from mien.training.networks.embedded import build_network
from mien.training.networks.opening import rebuild
from mien.training.recipe import (
    AdaptationRecipe,
    EmbeddedRecipe,
    TransferRecipe,
    differences,
    nearest_shipped,
)
from mien.training.targets import FER2013_OUTPUT, PIXEL_MEAN, PIXEL_SCALE, VOTES_OUTPUT
from mien.training.transfer import build_transfer, parted

TOLERANCE = 1e-4
"""Largest difference of a logit between torch and the exported file."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: the epoch it is from, the difference from torch, the headlines of the scores it carries.

    The temperatures and scores are those of float32; what a `compressed` file carries instead, that says.
    """

    epoch: int
    difference: float
    temperatures: Mapping[str, float]
    validation: str
    scores: tuple[Score, ...]
    compressed: Compressed | None


def export_run(
    run: str | Path,
    file: str | Path,
    *,
    data: str | Path | None = None,
    licence: str = "not stated",
    storage: Storage | None = None,
    last: bool = False,
    overwrite: bool = False,
) -> ExportReport:
    """Write the best checkpoint of `run` as `file`, with its temperatures fitted on `public_test` and its scores.

    Args:
        run: a folder made by `train`; the run need not have ended.
        file: the .onnx file; it appears under this name when it is whole and checked.
        data: the labelled faces to score on, where they have moved since training.
        licence: on what terms the weights may be used.
        storage: how to store the weights; None is in float32, as they are compared with torch.
        last: take the last epoch, whose weights are the most averaged and are not chosen by a single figure.
        overwrite: replace a file that exists.

    Raises:
        DataError: the run or the data cannot be read, or the data are not those of the run.
        ModelError: the file differs from torch by more than `TOLERANCE`, or a weight does not fit the `storage`.
        OutputError: `file` cannot be written.
        UsageError: `file` exists.
    """
    source, file = RunFolder(run), Path(file)
    if file.exists() and not overwrite:
        raise UsageError(f"{file}: it exists already; name another file or pass --overwrite")
    recipe, facts = source.read()
    if isinstance(recipe, AdaptationRecipe):
        raise UsageError(
            f"{source.path}: a network that only sees has nothing to say; train a head on it: --init RUN"
        )
    checkpoint = source.checkpoint(last=last)
    folder = Path(data or facts["data"])
    if fingerprint(folder) != facts["data_sha256"]:
        raise DataError(f"{folder}: it is not the data that {source.path} was trained on")
    subject = _subject(source, recipe, facts, read_labelled_faces(folder), last=last)
    if isinstance(recipe, TransferRecipe) and Path(recipe.weights).exists():  # where it lies is nobody's business
        recipe = replace(recipe, weights=Path(recipe.weights).name)

    model = _to_onnx(subject)
    difference = _difference(model, subject)
    if not difference <= TOLERANCE:
        raise ModelError(f"{file}: the exported network differs from torch by {difference:.2g}")
    faces = subject.faces
    metadata = Metadata(
        name=str(facts["recipe"]),
        outputs=subject.outputs,
        size=recipe.size,
        colour="grey" if subject.channels == 1 else "rgb",
        mean=subject.mean,
        scale=subject.scale,
        crop=asdict(subject.crop),
        data=faces.description,
        licence=licence,
        scores=(),
        reproduce=_command(recipe, facts, licence) + (" --last" if last else ""),
        mien=mien.__version__,
        extra={"epoch": int(checkpoint["epoch"]), "run": _portable(facts), "recipe": recipe.to_toml()},
    )
    session = Session(model.SerializeToString(), name=str(file))
    metadata = calibrated(session, metadata, faces.split(subject.validation), name=str(file))
    classifier = Classifier(session, metadata, identity=str(file))
    splits = [split for split in (subject.validation, subject.test) if split is not None]
    scores = [score for split in splits for score in evaluate(classifier, faces, split=split)]
    metadata = replace(metadata, scores=tuple(score.to_claim() for score in scores))
    smaller = None if storage is None else compress(model, metadata, faces, storage, validation=subject.validation)
    if smaller is None:
        save(model, metadata, file)
    else:
        save(smaller.model, smaller.metadata, file)
    return ExportReport(
        epoch=int(checkpoint["epoch"]),
        difference=difference,
        temperatures={output.name: output.temperature for output in metadata.outputs},
        validation=subject.validation,
        scores=tuple(headlines([score for score in scores if score.split == splits[-1]])),
        compressed=smaller,
    )


def _portable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's facts without the paths of the machine that it ran on."""
    return {key: value for key, value in facts.items() if key != "data"}


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is exported of a run, of whichever kind.

    Attributes:
        network: pictures (n, channels, size, size) → a tuple of logits, one for each output.
        outputs: their names and labels.
        size, channels: of the pictures.
        mean, scale: the network takes (levels - mean) / scale.
        crop: how the faces in the data are framed.
        faces: the data, with the splits that the run has used.
        validation, test: what the splits to choose by and to report on are called; None where there is none.

    """

    network: nn.Module
    outputs: tuple[Output, ...]
    size: int
    channels: int
    mean: float
    scale: float
    crop: Geometry
    faces: LabelledFaces
    validation: str
    test: str | None


def _subject(
    run: RunFolder,
    recipe: EmbeddedRecipe | TransferRecipe,
    facts: Mapping[str, Any],
    faces: LabelledFaces,
    *,
    last: bool,
) -> _Subject:
    if isinstance(recipe, EmbeddedRecipe):
        return _Subject(
            network=_loaded(build_network(recipe), run, last=last),
            outputs=(Output("votes", VOTES_OUTPUT, 1.0), Output("fer2013", FER2013_OUTPUT, 1.0)),
            size=recipe.size,
            channels=1,
            mean=PIXEL_MEAN,
            scale=PIXEL_SCALE,
            crop=FER2013,
            faces=faces,
            validation="public_test",
            test="private_test",
        )
    network = _loaded(build_transfer(recipe, rebuild(facts["backbone"])), run, last=last)
    parts = parted(faces, recipe)
    names = np.full(len(faces), "unused", dtype="<U16")
    for name, rows in zip(("train", "validation", "test"), parts, strict=True):
        names[rows] = name
    if not recipe.split:  # the data set's own names, so that `mien evaluate` finds the same rows
        names = np.where(names == "unused", names, faces.splits.astype("<U16"))
    validation, test = (str(names[rows[0]]) if len(rows) else None for rows in parts[1:])
    assert validation is not None  # `parted` has seen to it
    return _Subject(
        network=_InTuple(network),
        outputs=(Output("emotions", SETS[recipe.emotions], 1.0),),
        size=recipe.size,
        channels=network.backbone.channels,
        mean=0.0,
        scale=1.0,
        crop=Geometry(scale=recipe.crop_scale, across=0.0, down=0.0),
        faces=replace(faces, splits=names),
        validation=validation,
        test=test,
    )


class _InTuple(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (self.network(pictures),)


Network = TypeVar("Network", bound=nn.Module)


def _loaded(network: Network, run: RunFolder, *, last: bool) -> Network:
    """Return the network with the weights of the run's best or last epoch."""
    try:
        network.load_state_dict(run.network_weights(last=last), strict=True)
    except RuntimeError as error:
        raise DataError(
            f"{run.path}: the checkpoint is of another network than its recipe.toml says ({error})"
        ) from error
    return network.eval()


def _command(recipe: EmbeddedRecipe | TransferRecipe, facts: Mapping[str, Any], licence: str) -> str:
    """Return the commands that make the model again."""
    name, shipped = nearest_shipped(recipe)  # whichever it was made from: what differs is told
    changed = [
        f" --set {shlex.quote(f'{setting}={recipe.value_as_toml(setting)}')}"
        for setting in differences(recipe, shipped)
        if not (facts.get("init") and setting in ("backbone", "weights", "sha256"))  # which --init comes before
    ]
    begun = "".join(f" --teacher {run}" for run in facts.get("teachers", ()))
    if facts.get("init"):
        begun += f" --init {facts['init']}"
    unpacked = ""
    if isinstance(recipe, EmbeddedRecipe):
        unpacked = "mien data unpack-fer fer2013.csv DATA --ferplus fer2013new.csv && "
    return (
        f"{unpacked}mien train {name} --data DATA --run RUN{begun}{''.join(changed)} && "
        f"mien export RUN {name}.onnx --licence {shlex.quote(licence)}"
    )


def _to_onnx(subject: _Subject) -> onnx.ModelProto:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch's exporter, about its own workings
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            subject.network,
            (torch.zeros(2, subject.channels, subject.size, subject.size),),
            input_names=["faces"],
            output_names=[output.name for output in subject.outputs],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch's exporter gave no program")
    model: onnx.ModelProto = program.model_proto
    strip_traces(model)
    fit_pooling(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about the machine and source lines it ran from."""
    del model.metadata_props[:]
    graph = model.graph
    for entry in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del entry.metadata_props[:]
        entry.ClearField("doc_string")


def fit_pooling(model: onnx.ModelProto) -> None:
    """Let average pools round their output up only where that makes a difference.

    Those that do, onnxruntime takes out of the layout of the convolutions around them, which costs more than they do.
    """
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    sides = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim[2:]] for value in values}
    for node in model.graph.node:
        if node.op_type != "AveragePool" or not all(sides.get(node.input[0], [0])):
            continue
        settings = {attribute.name: attribute for attribute in node.attribute}
        strides, kernel = settings["strides"].ints, settings["kernel_shape"].ints
        padded = "pads" in settings and any(settings["pads"].ints)
        fits = not any(side % stride for side, stride in zip(sides[node.input[0]], strides, strict=True))
        if "ceil_mode" in settings and fits and not padded and list(strides) == list(kernel):
            settings["ceil_mode"].i = 0


def _difference(model: onnx.ModelProto, subject: _Subject) -> float:
    """Return the largest difference of a logit on faces of noise, smooth and rough."""
    random = np.random.default_rng(0)
    levels = random.normal(128, 64, size=(16, subject.channels, subject.size, subject.size)).astype(np.float32)
    levels[8:] = 128 + (levels[8:] - 128).cumsum(axis=2).cumsum(axis=3) / subject.size
    faces = (levels.clip(0, 255) - np.float32(subject.mean)) / np.float32(subject.scale)
    with torch.inference_mode():
        expected: tuple[Tensor, ...] = subject.network(torch.from_numpy(faces))
    answers = Session(model.SerializeToString(), name="export")(faces)
    return max(float(np.abs(got - want.numpy()).max()) for got, want in zip(answers, expected, strict=True))
