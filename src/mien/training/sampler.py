"""The order of the rows in each epoch, which depends on (seed, epoch) alone, also where processes share them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mien.training.recipe import Recipe


class EpochSampler(Sampler[int]):
    """The rows as often as `times` (n,) says, in an order of each epoch's own; Lightning calls `set_epoch`.

    Of several processes each takes every so-manieth row, so that their batches together are those of one.
    """

    def __init__(self, times: NDArray[np.int64], recipe: Recipe, *, rank: int = 0, processes: int = 1) -> None:
        self.rows = torch.from_numpy(np.repeat(np.arange(len(times)), times))
        self.recipe, self.rank, self.processes = recipe, rank, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of `epoch`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.processes)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.recipe.epoch_seed(self.epoch))
        order = torch.randperm(len(self.rows), generator=generator)
        padded = torch.cat([order, order[: len(self) * self.processes - len(order)]])  # as many for each
        return iter(self.rows[padded[self.rank :: self.processes]].tolist())
