"""Grey adaptation as a training run: a grey copy of a backbone matches the original's embeddings, on any pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset

from mien.errors import DataError, SourceError, UsageError
from mien.sources import find_pictures, read_picture
from mien.training.adaptation import Match, matching_loss, mean_cosine, to_grey
from mien.training.job import Batch, Inputs, Job
from mien.training.networks.backbone import Backbone
from mien.training.networks.counting import multiply_adds
from mien.training.networks.grey import STARTS, Start, grey_backbone
from mien.training.networks.opening import describe, open_backbone
from mien.training.recipe import AdaptationRecipe

COLUMNS = ("train_loss", "validation_loss", "mean_cosine")


def matching_job(recipe: AdaptationRecipe, inputs: Inputs) -> Job:
    """Return the adaptation of a pretrained backbone to grey, on all pictures in the folder of `inputs`.

    The facts tell the match on the held-out pictures before anything is trained, for both ways to start.

    Raises:
        DataError: there are too few pictures.
        ModelError: the pretrained weights cannot be had.

    """
    if inputs.teachers or inputs.init is not None:
        raise UsageError("the grey adaptation begins with a pretrained network: leave out --init and --teacher")
    pictures = _pictures(inputs.data, recipe.size)
    order = torch.from_numpy(np.random.default_rng(recipe.seed).permutation(len(pictures)))
    held_out = max(1, round(recipe.held_out * len(pictures)))
    if len(pictures) - held_out < 1:
        raise DataError(f"{inputs.data}: {len(pictures)} pictures are too few to hold some of them out")
    training, validation = pictures[order[held_out:]], pictures[order[:held_out]]
    if inputs.overfit:
        training = validation = training[: inputs.overfit]
    original = open_backbone(recipe.backbone, recipe.weights).eval().requires_grad_(False)
    starts = {start: _start(original, start, recipe) for start in STARTS}
    before = {str(start): mean_cosine(grey, original, validation) for start, grey in starts.items()}
    (own,) = (grey for start, grey in starts.items() if start == recipe.start)
    (other,) = (grey for start, grey in starts.items() if start != recipe.start)
    return Job(
        module=MatchingModule(recipe, own, original, other if recipe.compare else None),
        training=TensorDataset(training),
        validation=TensorDataset(validation),
        times=np.ones(len(training), np.int64),
        monitor="mean_cosine",
        mode="max",
        columns=(*COLUMNS, "mean_cosine_of_other_start") if recipe.compare else COLUMNS,
        facts={
            "training_rows": len(training),
            "validation_rows": len(validation),
            "mean_cosine_before": {name: round(value, 6) for name, value in before.items()},
            "parameters": sum(p.numel() for p in own.parameters()),
            "multiply_adds": multiply_adds(own, recipe.size),
            "backbone": describe(own),
        },
    )


def _start(original: Backbone, start: Start, recipe: AdaptationRecipe) -> Backbone:
    torch.manual_seed(recipe.seed)
    return grey_backbone(original, start).requires_grad_(True)


def _pictures(folder: Path, size: int) -> Tensor:
    """Return the largest centred squares of all pictures, uint8 (n, 3, size, size).

    Raises:
        DataError: none can be read.

    """
    squares = []
    for path in find_pictures(folder, recursive=True):
        try:
            image = Image.fromarray(read_picture(path).pixels)
        except SourceError:
            continue  # a collection from the web has such, and this needs no particular one
        squares.append(np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)))
    if not squares:
        raise DataError(f"{folder}: no picture in it can be read")
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


class MatchingModule(LightningModule):
    """The distance between the embedding of a grey picture and the original's of the coloured one.

    Where another network is given, which started otherwise, it is trained beside the first, to compare the two.
    """

    def __init__(
        self, recipe: AdaptationRecipe, grey: Backbone, original: Backbone, other: Backbone | None = None
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = grey
        self.other = other
        self.originals = (original,)  # in a tuple it is no part of this module: not trained or saved

    def augmented(self, pictures: Tensor) -> Tensor:
        """Return colour pictures as the grey network sees them: float, 0-255, half of them mirrored in training."""
        return to_grey(pictures)

    def told(self, batch: Batch) -> list[tuple[str, str, float]]:
        """Return the likeness of both embeddings: its cosine."""
        (pictures,) = batch
        with torch.inference_mode():
            cosines = functional.cosine_similarity(self.network(to_grey(pictures)), self._wanted(pictures), dim=1)
        return [("", "cosine", float(cosine)) for cosine in cosines]

    def train(self, mode: bool = True) -> MatchingModule:
        """Set the mode of all but the networks: their batch norm keeps the statistics of the original."""
        super().train(mode)
        for network in (self.network, self.other):
            if network is not None:
                network.eval()
        return self

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the mirroring."""
        if batch_idx == 0:
            torch.manual_seed(self.recipe.epoch_seed(self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the distance on one batch, of which half is mirrored."""
        (pictures,) = batch
        mirrored = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < 0.5
        pictures = torch.where(mirrored, pictures.flip(3), pictures)
        seen, wanted, kind = to_grey(pictures), self._wanted(pictures), cast("Match", self.recipe.loss)
        loss = matching_loss(self.network(seen), wanted, kind)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pictures))
        return loss if self.other is None else loss + matching_loss(self.other(seen), wanted, kind)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the match on held-out pictures."""
        (pictures,) = batch
        own, wanted = self.network(to_grey(pictures)), self._wanted(pictures)
        loss = matching_loss(own, wanted, cast("Match", self.recipe.loss))
        cosine = functional.cosine_similarity(own, wanted, dim=1).mean()
        figures = {"validation_loss": loss, "mean_cosine": cosine}
        if self.other is not None:
            others = functional.cosine_similarity(self.other(to_grey(pictures)), wanted, dim=1)
            figures["mean_cosine_of_other_start"] = others.mean()
        self.log_dict(figures, batch_size=len(pictures), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Return Adam over all weights."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(trained, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    def _wanted(self, pictures: Tensor) -> Tensor:
        (original,) = self.originals
        with torch.no_grad():
            embedding: Tensor = original.to(pictures.device)(pictures.float())
        return embedding
