"""MobileNet (Howard et al., 2017) for small grey faces, able to begin as a network that tells people apart.

The pretrained weights are those of HSE_FaceRec_tf (A. Savchenko, Apache-2.0), trained on VGGFace2; the package
@vladmandic/human brings them, and scripts/convert_mobilenet.py turns them into a file that `open_mobilenet` reads.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import ModelError

FEATURES = 1024
BLOCKS = (  # channels and stride of the depthwise-separable convolutions
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (FEATURES, 1),
)
LEVELS = 60.0
"""Grey levels to a unit of the network's input; the pretrained first convolution was given levels."""


class Convolution(nn.Sequential):
    """A convolution, its batch norm and ReLU6; strides begin at the first pixel, as TensorFlow's do on even sides."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
        super().__init__(
            *padding,
            nn.Conv2d(
                inputs, outputs, kernel, stride, 0 if padding else (kernel - 1) // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.ReLU6(inplace=True),
        )


class MobileNet(nn.Module):
    """Grey faces (n, 1, h, w) of mean 0 and spread 1 → maps (n, 1024, side / 32, side / 32).

    Args:
        side: to which faces are enlarged first, pixels: the network was made for pictures in which they are large.
        frozen: so many layers from the input on stay as they are, their batch-norm statistics too.

    """

    def __init__(self, *, side: int, frozen: int = 0) -> None:
        super().__init__()
        self.side, self.frozen = side, frozen
        layers: list[nn.Module] = [Convolution(1, 32, 3, 2)]
        channels = 32
        for width, stride in BLOCKS:
            layers += [Convolution(channels, channels, 3, stride, channels), Convolution(channels, width, 1)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.layers[:frozen].requires_grad_(False)

    def train(self, mode: bool = True) -> MobileNet:
        """Set the mode of the layers that are not frozen."""
        super().train(mode)
        self.layers[: self.frozen].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of `x`."""
        size = (self.side, self.side)
        enlarged = functional.interpolate(x * LEVELS, size=size, mode="bilinear", align_corners=False)
        maps: Tensor = self.layers(enlarged)
        return maps


def load_mobilenet(network: MobileNet, path: str | Path) -> None:
    """Take up pretrained weights, every one of them.

    Raises:
        ModelError: the file cannot be read, or holds other weights.

    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(weights, strict=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such file of weights") from error
    except Exception as error:  # torch.load raises what its unpicklers raise
        start = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: not the weights of the MobileNet for faces ({start})") from error


def calibrate(network: nn.Module, pictures: Tensor) -> None:
    """Make the batch norms of `network` normalise what `pictures` bring, without changing what it computes.

    Published networks often come with their batch norms merged into the convolutions: each is then taken up as
    one that does nothing but add. Statistics of batches are near those set here, so training can begin at once.
    """

    def take_up(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias.copy_(norm.bias + factor * (mean - norm.running_mean))
        norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = [
        module.register_forward_pre_hook(take_up)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    training = network.training
    network.eval()
    with torch.no_grad():
        network(pictures)
    network.train(training)
    for hook in hooks:
        hook.remove()
