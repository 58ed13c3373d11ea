"""What a network costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def multiply_adds(network: nn.Module, size: int, *, channels: int = 1) -> int:
    """Return the multiply-adds of convolutions and linear layers for one picture of `size` pixels a side."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += module.weight.numel() * output.shape[2] * output.shape[3]
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, channels, size, size))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
