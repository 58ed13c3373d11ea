"""What one step and one validation pass of the embedded model's training do."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

from mien.training.augmentation import augmentation
from mien.training.network import build_network
from mien.training.recipe import Recipe
from mien.training.targets import FER2013_OUTPUT, VOTES_OUTPUT, normalise

Batch = tuple[Tensor, Tensor, Tensor]


class EmbeddedModule(LightningModule):
    """Two losses summed: cross-entropy with the vote distribution, and with the smoothed FER2013 label."""

    def __init__(self, recipe: Recipe, *, steps_per_epoch: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.network = build_network(recipe)
        self.augmentation = augmentation(recipe)
        self.votes_accuracy = MulticlassAccuracy(len(VOTES_OUTPUT), average="micro")
        self.fer2013_accuracy = MulticlassAccuracy(len(FER2013_OUTPUT), average="micro")

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the augmentation: only now, since loaders draw from the same generator when they start."""
        if batch_idx == 0:
            torch.manual_seed(self.recipe.epoch_seed(self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one augmented batch."""
        pictures, votes, labels = batch
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            pictures = self.augmentation(pictures.float() / 255.0) * 255.0
        logits = self.network(normalise(pictures).contiguous(memory_format=torch.channels_last))
        loss = self._votes_loss(logits[0], votes) + functional.cross_entropy(
            logits[1], labels, label_smoothing=self.recipe.label_smoothing
        )
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the right answers of one batch, without augmentation or flip averaging."""
        pictures, votes, labels = batch
        logits = self.network(normalise(pictures).contiguous(memory_format=torch.channels_last))
        voted = votes.sum(dim=1) > 0
        self.votes_accuracy.update(logits[0][voted], votes[voted].argmax(dim=1))
        self.fer2013_accuracy.update(logits[1], labels)
        loss = self._votes_loss(logits[0], votes) + functional.cross_entropy(logits[1], labels)
        self.log("validation_loss", loss, batch_size=len(labels))

    def on_validation_epoch_end(self) -> None:
        """Log both accuracies and their mean, by which the checkpoint is chosen."""
        votes, fer2013 = self.votes_accuracy.compute(), self.fer2013_accuracy.compute()
        self.log_dict({"votes_accuracy": votes, "fer2013_accuracy": fer2013, "score": (votes + fer2013) / 2})
        self.votes_accuracy.reset()
        self.fer2013_accuracy.reset()

    def configure_optimizers(self) -> Any:
        """Return SGD with weight decay on the weights alone, warmed up and then decayed by a cosine."""
        weights: list[Tensor] = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": self.recipe.weight_decay},
            {"params": others},
        ]
        optimiser = torch.optim.SGD(
            groups,
            lr=self.recipe.learning_rate,
            momentum=self.recipe.momentum,
            nesterov=True,
        )
        warmup = max(1, round(self.recipe.warmup_epochs * self.steps_per_epoch))
        total = max(warmup + 1, self.recipe.epochs * self.steps_per_epoch)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @staticmethod
    def _votes_loss(logits: Tensor, votes: Tensor) -> Tensor:
        """Return the mean cross-entropy with distributions `votes`; rows of zeros do not count."""
        losses = -(votes * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return losses.sum() / (votes.sum(dim=1) > 0).sum().clamp(min=1)
