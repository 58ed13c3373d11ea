"""A colour backbone → the same network for grey pictures."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import UsageError
from mien.training.networks.backbone import Backbone

Start = Literal["summed", "random"]
STARTS: tuple[Start, ...] = ("summed", "random")


class GreyConvolution(nn.Conv2d):
    """A convolution of one channel that answers as one of three does to a grey picture, up to the border.

    Channels normalised by different means differ by a constant. What their weights make of it is `offset`,
    of the shape of the weights. It is a bias inside the picture, and less where the window reaches over the
    border: there the padding is 0 in each channel.
    """

    offset: Tensor

    def __init__(self, single: nn.Conv2d, offset: Tensor) -> None:
        super().__init__(
            1,
            single.out_channels,
            kernel_size=(single.kernel_size[0], single.kernel_size[1]),
            stride=(single.stride[0], single.stride[1]),
            padding=single.padding if isinstance(single.padding, str) else (single.padding[0], single.padding[1]),
            bias=single.bias is not None,
        )
        self.weight, self.bias = single.weight, single.bias
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, out_channels, h', w') for normalised pictures (n, 1, h, w)."""
        constant = functional.conv2d(torch.ones_like(x[:1]), self.offset, None, self.stride, self.padding)
        answer: Tensor = super().forward(x) + constant
        return answer


def grey_backbone(backbone: Backbone, start: Start = "summed") -> Backbone:
    """Return a copy of a colour backbone whose first convolution takes one channel.

    Args:
        backbone: one that takes RGB; it is left as it is.
        start: `summed` adds up the weights of the channels, so that a grey picture has the embedding which the
            original gives it as red = green = blue; `random` initialises them anew (He et al., 2015).

    Raises:
        UsageError: the backbone takes grey already, or there is no such start.

    """
    if start not in STARTS:
        raise UsageError(f"a grey backbone starts from {' or '.join(STARTS)} weights, not {start!r}")
    if backbone.channels != 3:
        raise UsageError("the backbone takes grey pictures already")
    grey = copy.deepcopy(backbone)
    single = copy.deepcopy(backbone.first_convolution)  # a copy, since it may be of a class with a padding of its own
    single.in_channels = 1
    mean, scale = backbone.mean.mean(), backbone.scale.mean()
    with torch.no_grad():
        colour = backbone.first_convolution.weight / backbone.scale
        weight = (colour * scale).sum(dim=1, keepdim=True)
        offset = (colour * (mean - backbone.mean)).sum(dim=1, keepdim=True)
    single.weight = nn.Parameter(weight)
    if start == "random":
        nn.init.kaiming_normal_(single.weight, mode="fan_out", nonlinearity="relu")
    elif offset.any():
        if type(single) is not nn.Conv2d or single.padding_mode != "zeros":
            raise UsageError(f"there is no grey form of {type(single).__name__} with means that differ by channel")
        single = GreyConvolution(single, offset)
    grey.replace_first_convolution(single)
    grey.set_normalisation([float(mean)], [float(scale)])
    grey.to(backbone.mean.device)
    return grey
