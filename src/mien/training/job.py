"""What a run needs to know of what it trains: the same for every kind of recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

Batch = tuple[Tensor, ...]
"""Pictures, uint8 (n, channels, size, size), and what is wanted of each."""


class Trainable(Protocol):
    """What the modules of all kinds offer besides Lightning's methods."""

    def augmented(self, pictures: Tensor) -> Tensor:
        """Return pictures, uint8, as they are shown in training: float, 0-255."""
        ...

    def told(self, batch: Batch) -> list[tuple[str, str, float]]:
        """Return for each picture what is wanted, what the network says, and its probability or likeness."""
        ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a job begins with, besides its recipe.

    Attributes:
        data: the folder of labelled faces, or of any pictures.
        init: a run, or for `embedded` a model, whose network is gone on with.
        teachers: runs and models whose answers are imitated.
        overfit: train and validate on so many pictures, without augmentation; 0 is as usual.

    """

    data: Path
    init: Path | None = None
    teachers: Sequence[Path] = ()
    overfit: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A module with its data.

    Attributes:
        module: a LightningModule that is `Trainable`.
        training, validation: the rows.
        times: how often each row of `training` is shown in an epoch, shape (n,).
        monitor: the figure by which the best epoch is chosen.
        mode: whether that is to be large (`max`) or small (`min`).
        columns: the figures of an epoch, in the order in which metrics.csv has them.
        average_decay: of the moving average of the weights; 0 is none.
        patience: epochs without a better one after which the run ends; 0 is never.
        facts: what run.json says besides what all runs say.

    """

    module: LightningModule
    training: TensorDataset
    validation: TensorDataset
    times: NDArray[np.int64]
    monitor: str
    mode: str
    columns: tuple[str, ...]
    average_decay: float = 0.0
    patience: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
