"""Backbones by name: with pretrained weights, and again without them, to take up those of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from mien.errors import DataError, UsageError
from mien.training.networks.backbone import Backbone
from mien.training.networks.efficientnet_lite import EfficientNetLite, open_efficientnet_lite, plain_efficientnet_lite
from mien.training.networks.grey import GreyConvolution
from mien.training.networks.inception_resnet import (
    VGGFACE2_SHA256,
    VGGFACE2_URL,
    FaceBackbone,
    InceptionResnetV1,
    open_inception_resnet,
)
from mien.training.networks.resnet import ResNet, open_resnet

BACKBONES = ("resnet", "inception-resnet-v1", "efficientnet-lite0")


def open_backbone(name: str, weights: str, sha256: str = "") -> Backbone:
    """Return a pretrained backbone.

    Args:
        name: one of `BACKBONES`.
        weights: a name on the hub or a folder (resnet), a file or URL (inception-resnet-v1); of efficientnet-lite0 a
            package has them.
        sha256: of the file at a URL.

    Raises:
        ModelError: the weights cannot be had or are of something else.
        UsageError: there is no such backbone.

    """
    if name == "resnet":
        return open_resnet(weights)
    if name == "inception-resnet-v1":
        if not weights:
            raise UsageError(
                "recipe: weights is empty: name the published file of Inception-ResNet-V1, or where it is to be had: "
                f"--set weights={VGGFACE2_URL} --set sha256={VGGFACE2_SHA256}"
            )
        return open_inception_resnet(weights, sha256=sha256 or None)
    if name == "efficientnet-lite0":
        return open_efficientnet_lite()
    raise UsageError(f"recipe: backbone is one of {', '.join(BACKBONES)}, not {name}")


def describe(backbone: Backbone) -> dict[str, Any]:
    """Return all that `rebuild` needs, as plain values."""
    described: dict[str, Any] = {
        "channels": backbone.channels,
        "size": backbone.size,
        "mean": backbone.mean.flatten().tolist(),
        "scale": backbone.scale.flatten().tolist(),
        "offset": isinstance(backbone.first_convolution, GreyConvolution),
    }
    if isinstance(backbone, ResNet):
        return {"name": "resnet", "config": backbone.network.config.to_diff_dict(), **described}
    if isinstance(backbone, FaceBackbone):
        return {"name": "inception-resnet-v1", "people": len(backbone.network.logits.weight), **described}
    if isinstance(backbone, EfficientNetLite):
        return {"name": "efficientnet-lite0", **described}
    raise UsageError(f"a {type(backbone).__name__} cannot be described")


def rebuild(described: Mapping[str, Any]) -> Backbone:
    """Return the backbone that `describe` was told of, freshly initialised.

    Raises:
        DataError: it is none.

    """
    try:
        mean, scale = described["mean"], described["scale"]
        if described["name"] == "resnet":
            network = ResNetModel(ResNetConfig.from_dict(dict(described["config"])))
            backbone: Backbone = ResNet(network, size=described["size"], mean=mean, scale=scale)
        elif described["name"] == "inception-resnet-v1":
            backbone = FaceBackbone(InceptionResnetV1(described["people"]))
        else:
            backbone = EfficientNetLite(plain_efficientnet_lite())
        first = backbone.first_convolution
        if first.in_channels != described["channels"] or described["offset"]:
            backbone.replace_first_convolution(_single(first, offset=described["offset"]))
        backbone.set_normalisation(mean, scale)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the run's network cannot be built again ({error})") from error
    return backbone


def _single(convolution: nn.Conv2d, *, offset: bool) -> nn.Conv2d:
    """Return a convolution like this one for one channel, with room for an offset where there was one."""
    weight = convolution.weight[:, :1].clone()
    convolution.in_channels, convolution.weight = 1, nn.Parameter(weight)
    return GreyConvolution(convolution, torch.zeros_like(weight)) if offset else convolution
