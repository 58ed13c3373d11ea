"""What every pretrained backbone has in common: pictures in, feature maps and an embedding out, stages to freeze."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mien.errors import UsageError


class Backbone(nn.Module, ABC):
    """A network without a head: pictures → feature maps → their mean over the picture, the embedding.

    It is a module, so a base class and no protocol: mypy would not let a protocol be trained.

    Attributes:
        features: how many channels the maps have, and numbers the embedding.
        channels: 1 takes grey pictures, 3 RGB.
        size: of the pictures that it was trained on, pixels a side. It takes others too.
        mean: float (channels, 1, 1), in levels 0-255.
        scale: float (channels, 1, 1); the network itself gets (pictures - mean) / scale.

    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *, features: int, size: int, mean: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.features = features
        self.size = size
        self.set_normalisation(mean, scale)
        self._trainable_stages: int | None = None

    @property
    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """The parts that hold all weights behind `maps`, from input to output."""

    @property
    @abstractmethod
    def first_convolution(self) -> nn.Conv2d:
        """The layer that takes the picture."""

    @abstractmethod
    def replace_first_convolution(self, convolution: nn.Conv2d) -> None:
        """Put `convolution` where the first one is."""

    @abstractmethod
    def normalised_maps(self, x: Tensor) -> Tensor:
        """Return the feature maps (n, features, h', w') of normalised pictures (n, channels, h, w)."""

    @property
    def channels(self) -> int:
        """How many channels its pictures have."""
        return len(self.mean)

    def set_normalisation(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        """Take another mean and scale, one of each for a channel, in levels 0-255."""
        # they go with the architecture, and would only be strangers among published weights
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32)[:, None, None], persistent=False)

    def maps(self, pictures: Tensor) -> Tensor:
        """Return the feature maps (n, features, h', w') of pictures (n, channels, h, w) in levels 0-255.

        Raises:
            ValueError: the pictures have another number of channels.

        """
        if pictures.shape[1] != self.channels:  # grey would spread over three channels, unnoticed
            raise ValueError(f"the backbone takes pictures of {self.channels} channels, not {pictures.shape[1]}")
        return self.normalised_maps((pictures.to(self.mean.dtype) - self.mean) / self.scale)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the embedding (n, features) of pictures (n, channels, h, w) in levels 0-255."""
        return self.maps(pictures).mean(dim=(2, 3))

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode of what is not frozen: the batch-norm statistics of a frozen stage stay as they are."""
        super().train(mode)
        if self._trainable_stages is not None:
            for part in self.children():
                part.eval()
            for stage in _last(self.stages, self._trainable_stages):
                stage.train(mode)
        return self


def freeze(backbone: Backbone, unfreeze: int) -> None:
    """Freeze parameters and batch-norm statistics of all but the last `unfreeze` stages.

    Raises:
        UsageError: the backbone does not have so many stages.

    """
    stages = backbone.stages
    if not 0 <= unfreeze <= len(stages):
        raise UsageError(f"unfreeze lies between 0 and {len(stages)}, the stages of the backbone, not {unfreeze}")
    backbone.requires_grad_(False)
    for stage in _last(stages, unfreeze):
        stage.requires_grad_(True)
    backbone._trainable_stages = unfreeze
    backbone.train(backbone.training)


def _last(stages: Sequence[nn.Module], count: int) -> Sequence[nn.Module]:
    return stages[len(stages) - count :]
