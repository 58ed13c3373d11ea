"""The embedded model's training: what one step and one validation pass do, and on what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.errors import DataError
from mien.training.augmentation import degradation, movement
from mien.training.beginning import begin
from mien.training.job import Batch, Inputs, Job
from mien.training.networks.counting import multiply_adds
from mien.training.networks.embedded import build_network
from mien.training.recipe import EmbeddedRecipe
from mien.training.targets import (
    FER2013_OUTPUT,
    VOTES_OUTPUT,
    Targets,
    normalise,
    repetitions,
    targets,
    training_rows,
)
from mien.training.teachers import Teacher, open_teacher

_CALIBRATION = 512
COLUMNS = ("train_loss", "validation_loss", "votes_accuracy", "fer2013_accuracy", "score")


def embedded_job(recipe: EmbeddedRecipe, inputs: Inputs) -> Job:
    """Return the training of the embedded model on the labelled faces of `inputs`.

    Chosen on the split `public_test`; `private_test` is not looked at.

    Raises:
        DataError: the data is not as needed, or a teacher is of another kind.

    """
    faces = read_labelled_faces(inputs.data)
    rows = training_rows(faces, max_not_a_face_votes=recipe.max_not_a_face_votes)
    if not rows.any():
        raise DataError(f"{inputs.data}: no row is left to train on")
    chosen = np.flatnonzero(rows)
    if inputs.overfit:
        chosen = np.random.default_rng(recipe.seed).permutation(chosen)[: inputs.overfit]
    training = _targets(faces.select(chosen), recipe)
    validation = training if inputs.overfit else _targets(faces.split("public_test"), recipe)
    times = repetitions(training, balance=0.0 if inputs.overfit else recipe.balance)
    module = EmbeddedModule(
        recipe,
        steps_per_epoch=math.ceil(times.sum() / recipe.batch_size),
        teachers=[open_teacher(source, recipe) for source in inputs.teachers],
        plain=inputs.overfit > 0,
    )
    some = np.random.default_rng(recipe.seed).permutation(len(training))[:_CALIBRATION]
    begin(module.network, recipe, init=inputs.init, pictures=normalise(training.pictures[some]))
    return Job(
        module=module,
        training=_rows(training),
        validation=_rows(validation),
        times=times,
        monitor="score",
        mode="max",
        columns=COLUMNS,
        average_decay=recipe.average_decay,
        facts={
            "training_rows": len(training),
            "parameters": sum(p.numel() for p in module.network.parameters()),
            "multiply_adds": multiply_adds(module.network, recipe.size),
        },
    )


def _targets(faces: LabelledFaces, recipe: EmbeddedRecipe) -> Targets:
    return targets(faces, size=recipe.size, min_votes=recipe.min_votes)


def _rows(rows: Targets) -> TensorDataset:
    return TensorDataset(rows.pictures, rows.votes, rows.labels)


class EmbeddedModule(LightningModule):
    """Two losses summed: cross-entropy with the vote distribution, and with the smoothed FER2013 label.

    With teachers, a share of each is cross-entropy with what they say, at a temperature (Hinton, Vinyals and Dean,
    "Distilling the Knowledge in a Neural Network", 2015). They see the pictures moved and lit as those that are
    learned from (Beyer et al., "Knowledge Distillation: A Good Teacher Is Patient and Consistent", 2022), but not
    degraded (Xie et al., "Self-Training with Noisy Student", 2020): so the network learns to answer as if nothing
    were covered or blurred.
    """

    def __init__(
        self,
        recipe: EmbeddedRecipe,
        *,
        steps_per_epoch: int,
        teachers: Sequence[Teacher] = (),
        plain: bool = False,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.network = build_network(recipe)
        self.augmentation = None if plain else (movement(recipe), degradation(recipe))
        self.votes_accuracy = MulticlassAccuracy(len(VOTES_OUTPUT), average="micro")
        self.fer2013_accuracy = MulticlassAccuracy(len(FER2013_OUTPUT), average="micro")
        self.teachers = tuple(teachers)

    def augmented(self, pictures: Tensor) -> Tensor:
        """Return pictures, uint8, as they are shown in training: float, 0-255."""
        return self._augmented(pictures)[1]

    def _augmented(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures, uint8, as the teachers see them and as the network does: float, 0-255."""
        if self.augmentation is None:
            return pictures.float(), pictures.float()
        move, degrade = self.augmentation
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            moved = move(pictures.float() / 255.0)
            return moved * 255.0, degrade(moved) * 255.0

    def told(self, batch: Batch) -> list[tuple[str, str, float]]:
        """Return what most raters say, what the network says they do, and its probability."""
        pictures, votes, _ = batch
        with torch.inference_mode():
            shares = self.network(normalise(pictures))[0].softmax(dim=1)
        wanted = [
            str(VOTES_OUTPUT[i]) if some else "?" for i, some in zip(votes.argmax(1), votes.any(1), strict=True)
        ]
        return [
            (name, str(VOTES_OUTPUT[int(share.argmax())]), float(share.max()))
            for name, share in zip(wanted, shares, strict=True)
        ]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the augmentation: only now, since loaders draw from the same generator when they start."""
        if batch_idx == 0:
            torch.manual_seed(self.recipe.epoch_seed(self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one augmented batch."""
        pictures, votes, labels = batch
        clear, seen = self._augmented(pictures)
        logits = self.network(normalise(seen).contiguous(memory_format=torch.channels_last))
        loss = self._votes_loss(logits[0], votes) + functional.cross_entropy(
            logits[1], labels, label_smoothing=self.recipe.label_smoothing
        )
        if self.teachers:
            share = self.recipe.teacher_share
            loss = (1.0 - share) * loss + share * self._teachers_loss(logits, clear)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the right answers of one batch, without augmentation or flip averaging."""
        pictures, votes, labels = batch
        logits = self.network(normalise(pictures).contiguous(memory_format=torch.channels_last))
        voted = votes.sum(dim=1) > 0
        self.votes_accuracy.update(logits[0][voted], votes[voted].argmax(dim=1))
        self.fer2013_accuracy.update(logits[1], labels)
        loss = self._votes_loss(logits[0], votes) + functional.cross_entropy(logits[1], labels)
        self.log("validation_loss", loss, batch_size=len(labels), sync_dist=True)

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

    def _teachers_loss(self, logits: Sequence[Tensor], clear: Tensor) -> Tensor:
        """Return the cross-entropy of both outputs with the mean of what the teachers say, at the temperature."""
        temperature = self.recipe.teacher_temperature
        with torch.no_grad():
            said = [teacher(clear) for teacher in self.teachers]
        losses = []
        for output, own in enumerate(logits):
            wanted = torch.stack([(answer[output] / temperature).softmax(dim=1) for answer in said]).mean(dim=0)
            # times the square, or gradients would shrink by it
            losses.append(functional.cross_entropy(own / temperature, wanted) * temperature**2)
        return losses[0] + losses[1]

    @staticmethod
    def _votes_loss(logits: Tensor, votes: Tensor) -> Tensor:
        """Return the mean cross-entropy with distributions `votes`; rows of zeros do not count."""
        losses = -(votes * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return losses.sum() / (votes.sum(dim=1) > 0).sum().clamp(min=1)
