"""What a network of the recipe `embedded` begins with: nothing, a network for faces, another run, or a model file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from mien.errors import DataError, ModelError
from mien.models.store import read_model
from mien.training.folder import RunFolder
from mien.training.networks.embedded import EmbeddedNetwork, even_contrast
from mien.training.networks.mobilenet import MobileNet, calibrate, load_mobilenet
from mien.training.recipe import EmbeddedRecipe


def begin(network: EmbeddedNetwork, recipe: EmbeddedRecipe, *, init: Path | None, pictures: Tensor) -> None:
    """Give a fresh network the weights it begins with, if any.

    Args:
        network: of `recipe`.
        recipe: whose `weights` are taken where there is no `init`.
        init: a run of this recipe, or a model that was exported from one, by file or name; it may be meant for
            another resolution.
        pictures: normalised ones to be trained on; batch norms are set to what these bring where the weights come
            without.

    Raises:
        DataError: the run cannot be read, or its network has other layers.
        ModelError: the file cannot be read, or its network has other layers.

    """
    if init is not None and init.is_dir():
        try:
            network.load_state_dict(RunFolder(init).network_weights(), strict=True)
        except RuntimeError as error:
            raise DataError(
                f"{init}: its network has other layers than this recipe's; begin from a run with the same backbone"
            ) from error
    elif init is not None:
        _load_exported(network, init)
        calibrate(network, pictures)
    elif recipe.weights and isinstance(network.backbone, MobileNet):
        load_mobilenet(network.backbone, recipe.weights)
        calibrate(network.backbone, even_contrast(pictures))


def _load_exported(network: EmbeddedNetwork, file: Path) -> None:
    """Take up the weights of an exported file, in which the batch norms are merged into the convolutions."""
    graph = onnx.load_model_from_string(read_model(file).content).graph
    tensors = {
        tensor.name.removesuffix("_half").removeprefix("backbone."): torch.tensor(
            numpy_helper.to_array(tensor)
        ).float()
        for tensor in graph.initializer
    }
    with torch.no_grad():
        for name, parameter in _merged(network):
            given = tensors.get(name.removeprefix("backbone."))
            if given is None or given.shape != parameter.shape:
                raise ModelError(
                    f"{file}: its network has other layers than this recipe's ({name}); begin from a model of the "
                    "recipe embedded with the same settings, stored in 16 or 32 bits"
                )
            parameter.copy_(given)


def _merged(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the tensors of a network by the names that they have in an exported file; its norms only add."""
    found: list[tuple[str, Tensor]] = []
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found += [(f"{path}.weight", module.weight), (f"{path}.bias", module.bias)]
        elif isinstance(module, nn.Sequential):
            for (name, layer), (_, norm) in pairwise(module.named_children()):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    norm.reset_running_stats()
                    nn.init.constant_(norm.weight, (1.0 + norm.eps) ** 0.5)
                    weight = f"{path}.{name}.weight"
                    found += [(weight, layer.weight), (f"{weight}_bias", norm.bias)]
    return found
