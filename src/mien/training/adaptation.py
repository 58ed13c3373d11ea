"""Fine-tuning a grey backbone until it sees in a grey picture what the original sees in the coloured one."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import UsageError
from mien.training.networks.backbone import Backbone

Match = Literal["mse", "cosine"]
MATCHES: tuple[Match, ...] = get_args(Match)


def to_grey(pictures: Tensor) -> Tensor:
    """Return the luma (ITU-R BT.601, as Pillow's) of RGB pictures (n, 3, h, w), as float (n, 1, h, w)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=pictures.device)
    return (pictures.float() * weights[:, None, None]).sum(dim=1, keepdim=True)


def matching_loss(grey: Tensor, colour: Tensor, kind: Match = "mse") -> Tensor:
    """Return how far embeddings (n, features) of grey pictures are from those of the coloured ones.

    Args:
        grey: of the network that is trained.
        colour: of the frozen original, on the same pictures.
        kind: `mse`, the mean squared difference, or `cosine`, 1 less the mean cosine.

    Raises:
        UsageError: there is no such kind.

    """
    if kind == "mse":
        return functional.mse_loss(grey, colour)
    if kind == "cosine":
        return 1 - functional.cosine_similarity(grey, colour, dim=1).mean()
    raise UsageError(f"embeddings are matched by {' or '.join(MATCHES)}, not {kind!r}")


def mean_cosine(grey: Backbone, colour: Backbone, pictures: Tensor, *, batch_size: int = 32) -> float:
    """Return the mean cosine of what `grey` makes of grey pictures with what `colour` makes of the coloured ones.

    Both are run for evaluation, and left in the mode that they were in.

    Args:
        grey: a backbone of one channel.
        colour: the original, of three.
        pictures: RGB (n, 3, h, w), levels 0-255, held out from training.
        batch_size: how many are run at once.

    Raises:
        UsageError: there are no pictures.

    """
    if not len(pictures):
        raise UsageError("there are no pictures to compare the embeddings on")
    modes = [(network, network.training) for network in (grey, colour)]
    total = 0.0
    try:
        with torch.inference_mode():
            for network, _ in modes:
                network.eval()
            for start in range(0, len(pictures), batch_size):
                batch = pictures[start : start + batch_size]
                cosines = functional.cosine_similarity(grey(to_grey(batch)), colour(batch), dim=1)
                total += float(cosines.sum())
    finally:
        for network, mode in modes:
            network.train(mode)
    return total / len(pictures)
