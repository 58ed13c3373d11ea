"""The embedded network: a compact net on grey faces, with two outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mien.training.networks.mobilenet import FEATURES, MobileNet
from mien.training.recipe import EmbeddedRecipe

LEAST_VARIANCE = 0.02
"""Added to a picture's variance; the network's input has 64 grey levels to a unit, so this is 9 levels of spread."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016), the shortcut pooled where the block strides.

    Pooling before the 1x1 shortcut keeps all pixels in play ("ResNet-D", He et al., 2019).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, h / stride, w / stride) for `x` of shape (n, inputs, h, w)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def even_contrast(x: Tensor) -> Tensor:
    """Return pictures (n, 1, h, w) each with mean 0 and spread 1, so that light and contrast do not matter.

    Frames of films are duller than the photos of the training data. The spread of a picture next to
    uniform is not raised to 1: that would be its noise.
    """
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return x * torch.rsqrt(x.square().mean(dim=(2, 3), keepdim=True) + LEAST_VARIANCE)


class ResidualNetwork(nn.Module):
    """Grey faces (n, 1, h, w) → maps at half the resolution for each stage."""

    def __init__(self, *, stem: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        channels = stem
        for width, count in zip(widths, blocks, strict=True):
            for index in range(count):
                stages.append(ResidualBlock(channels, width, stride=2 if index == 0 else 1))
                channels = width
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, the last of widths, h', w')."""
        maps: Tensor = self.stages(self.stem(x))
        return maps


class EmbeddedNetwork(nn.Module):
    """Grey faces (n, 1, size, size), normalised → logits of `votes` (n, 8) and `fer2013` (n, 7)."""

    def __init__(self, backbone: nn.Module, *, features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.votes = nn.Linear(features, 8)
        self.fer2013 = nn.Linear(features, 7)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (votes, fer2013)."""
        features = self.dropout(self.backbone(even_contrast(x)).mean(dim=(2, 3)))
        return self.votes(features), self.fer2013(features)


def build_network(recipe: EmbeddedRecipe) -> EmbeddedNetwork:
    """Return the network of a recipe, freshly initialised."""
    if recipe.backbone == "mobilenet":
        return EmbeddedNetwork(
            MobileNet(side=recipe.enlarged, frozen=recipe.frozen), features=FEATURES, dropout=recipe.dropout
        )
    residual = ResidualNetwork(stem=recipe.stem, widths=recipe.widths, blocks=recipe.blocks)
    return EmbeddedNetwork(residual, features=recipe.widths[-1], dropout=recipe.dropout)
