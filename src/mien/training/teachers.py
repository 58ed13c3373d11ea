"""Who a network learns from besides the labels: another run, or a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mien.classifier import open_classifier
from mien.errors import DataError
from mien.training.folder import RunFolder
from mien.training.networks.embedded import build_network
from mien.training.recipe import EmbeddedRecipe
from mien.training.targets import FER2013_OUTPUT, VOTES_OUTPUT, normalise

Teacher = Callable[[Tensor], Sequence[Tensor]]
"""Grey faces, float (n, 1, size, size), 0-255 → logits of `votes` (n, 8) and `fer2013` (n, 7)."""

_LEAST = 1e-7  # probability, so that it has a logarithm


def open_teacher(source: Path, recipe: EmbeddedRecipe) -> Teacher:
    """Return what a run of the recipe `embedded`, or a model by name or file with its two outputs, says of faces.

    The logits of a model are those of its calibrated probabilities.

    Raises:
        DataError: it cannot teach what `recipe` trains, or is not whole.
        ModelError: the file is not a model.

    """
    return _run(source, recipe) if source.is_dir() else _file(source, recipe)


def _run(source: Path, recipe: EmbeddedRecipe) -> Teacher:
    folder = RunFolder(source)
    taught, _ = folder.read()
    if not isinstance(taught, EmbeddedRecipe) or taught.size != recipe.size:
        raise DataError(f"{source}: a teacher is a run of the recipe embedded with the same size ({recipe.size})")
    network = build_network(taught)
    network.load_state_dict(folder.network_weights())
    cast("Any", network).to(memory_format=torch.channels_last)  # torch's types do not know it
    network.eval().requires_grad_(False)

    def answer(faces: Tensor) -> Sequence[Tensor]:
        logits: Sequence[Tensor] = network.to(faces.device)(
            normalise(faces).contiguous(memory_format=torch.channels_last)
        )
        return logits

    return answer


def _file(source: Path, recipe: EmbeddedRecipe) -> Teacher:
    classifier = open_classifier(source)
    outputs = {output.name: output.labels for output in classifier.metadata.outputs}
    wanted = {"votes": VOTES_OUTPUT, "fer2013": FER2013_OUTPUT}
    if outputs != wanted or (classifier.metadata.size, classifier.grey) != (recipe.size, True):
        raise DataError(
            f"{source}: a teacher has the outputs votes and fer2013, and takes grey faces of {recipe.size} pixels"
        )
    names = [output.name for output in classifier.metadata.outputs]

    def answer(faces: Tensor) -> Sequence[Tensor]:
        levels = faces[:, 0].clamp(0, 255).round().byte().cpu().numpy()
        said = dict(zip(names, classifier(levels), strict=True))
        return [torch.from_numpy(np.log(said[name].clip(_LEAST))).to(faces.device) for name in wanted]

    return answer
