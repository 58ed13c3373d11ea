"""Transfer: a pretrained network with a new head for a set of emotions, on labelled faces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.emotions import SETS, Emotion
from mien.errors import DataError, UsageError
from mien.training.augmentation import augmentation
from mien.training.folder import RunFolder
from mien.training.job import Batch, Inputs, Job
from mien.training.networks.backbone import Backbone, freeze
from mien.training.networks.counting import multiply_adds
from mien.training.networks.grey import grey_backbone
from mien.training.networks.heads import HeadedNetwork, linear_head, vggface2_head
from mien.training.networks.opening import describe, open_backbone, rebuild
from mien.training.recipe import AdaptationRecipe, TransferRecipe

COLUMNS = ("train_loss", "validation_loss", "accuracy", "macro_f1")
SPLITS = (("train",), ("public_test", "validation", "val", "valid"), ("private_test", "test"))
"""What the splits to train on, to choose by and to report on are called."""


def transfer_job(recipe: TransferRecipe, inputs: Inputs) -> Job:
    """Return the training of a new head, and of what is thawed below it, on the labelled faces of `inputs`.

    Raises:
        DataError: the data is not as needed, or `init` is not a run that this can go on with.
        ModelError: the pretrained weights cannot be had.

    """
    if inputs.teachers:
        raise UsageError("--teacher is for the recipe embedded")
    faces = read_labelled_faces(inputs.data)
    parts = parted(faces, recipe)
    rows = np.random.default_rng(recipe.seed).permutation(parts[0])[: inputs.overfit] if inputs.overfit else parts[0]
    training = _rows(faces, rows, recipe)
    validation = training if inputs.overfit else _rows(faces, parts[1], recipe)
    network = _network(recipe, inputs)
    times = _repetitions(training.tensors[1].numpy(), 0.0 if inputs.overfit else recipe.balance)
    module = TransferModule(
        recipe, network, steps_per_epoch=math.ceil(times.sum() / recipe.batch_size), plain=inputs.overfit > 0
    )
    return Job(
        module=module,
        training=training,
        validation=validation,
        times=times,
        monitor="accuracy",
        mode="max",
        columns=COLUMNS,
        average_decay=recipe.average_decay,
        patience=recipe.patience,
        facts={
            "training_rows": len(training),
            "validation_rows": len(validation),
            "test_rows": len(parts[2]),
            "parameters": sum(p.numel() for p in network.parameters()),
            "multiply_adds": multiply_adds(network, recipe.size, channels=network.backbone.channels),
            "backbone": describe(network.backbone),
        },
    )


def parted(faces: LabelledFaces, recipe: TransferRecipe) -> tuple[NDArray[np.intp], ...]:
    """Return the rows to train on, to choose by and to report on, of those with one of the recipe's emotions.

    All faces of one origin (picture, page, and what looks the same) fall on one side. Nothing that looks like a row
    to choose by or to report on is trained on.

    Raises:
        DataError: an emotion has no row to train on or to choose by.

    """
    emotions = [str(emotion) for emotion in SETS[recipe.emotions]]
    wanted = np.isin(faces.labels, emotions)
    if recipe.split:
        masks = [wanted & (_sides(faces, recipe) == i) for i in range(3)]
    else:
        masks = [wanted & np.isin(faces.splits, names) for names in SPLITS]
        others = sorted({name for names in SPLITS[1:] for name in names})
        masks[0] &= ~faces.similar_in(*others) & faces.first_similar()
    for name, mask in zip(("train on", "choose the best epoch by"), masks, strict=False):
        if missing := [emotion for emotion in emotions if not (faces.labels[mask] == emotion).any()]:
            raise DataError(f"{faces.root}: of {', '.join(missing)} there is no picture to {name}")
    return tuple(np.flatnonzero(mask) for mask in masks)


def _sides(faces: LabelledFaces, recipe: TransferRecipe) -> NDArray[np.intp]:
    """Return for each row the part that its origin is drawn for, 0 to 2, in those shares for each label."""
    _, first, inverse = np.unique(faces.origins, return_index=True, return_inverse=True)
    labels, random = faces.labels[first], np.random.default_rng(recipe.seed)
    sides = np.zeros(len(first), np.intp)
    for label in np.unique(labels):
        origins = random.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(recipe.split) * len(origins)).astype(int)
        if len(origins) > 1:  # one at least to train on, and one to choose by
            ends = np.maximum(ends, [1, 2, 2][: len(ends)])
        sides[origins] = np.searchsorted(ends, np.arange(len(origins)), side="right")
    return sides[inverse]


def _rows(faces: LabelledFaces, rows: NDArray[np.intp], recipe: TransferRecipe) -> TensorDataset:
    chosen = faces.select(rows)
    pictures = torch.from_numpy(chosen.pictures(recipe.size, grey=recipe.colour == "grey"))
    pictures = pictures[:, None] if recipe.colour == "grey" else pictures.permute(0, 3, 1, 2).contiguous()
    index = {str(emotion): i for i, emotion in enumerate(SETS[recipe.emotions])}
    return TensorDataset(pictures, torch.tensor([index[label] for label in chosen.labels.tolist()]))


def _repetitions(labels: NDArray[np.int64], balance: float) -> NDArray[np.int64]:
    """Return how often each row is shown in an epoch: rare ones (median / count) ** `balance` times."""
    counts = np.bincount(labels)
    median = float(np.median(counts[counts > 0]))
    wanted = np.maximum(1, np.rint((median / np.maximum(counts, 1)) ** balance)).astype(np.int64)
    times: NDArray[np.int64] = wanted[labels]
    return times


def _network(recipe: TransferRecipe, inputs: Inputs) -> HeadedNetwork:
    network = build_transfer(recipe, _pretrained(recipe) if inputs.init is None else _backbone_of(inputs.init))
    if (network.backbone.channels == 1) != (recipe.colour == "grey"):
        raise UsageError(
            f"recipe: colour is {recipe.colour}, and the network takes {network.backbone.channels} channels"
        )
    if inputs.init is not None:
        _take_head(network, recipe, RunFolder(inputs.init))
    if recipe.unfreeze >= 0:
        freeze(network.backbone, recipe.unfreeze)
    return network


def build_transfer(recipe: TransferRecipe, backbone: Backbone) -> HeadedNetwork:
    """Return a recipe's network: a head, freshly initialised, on a backbone."""
    classes = len(SETS[recipe.emotions])
    if recipe.head == "vggface2":
        return HeadedNetwork(backbone, vggface2_head(classes, backbone.features))
    return HeadedNetwork(backbone, linear_head(backbone.features, classes, recipe.dropout))


def _pretrained(recipe: TransferRecipe) -> Backbone:
    backbone = open_backbone(recipe.backbone, recipe.weights, recipe.sha256)
    return grey_backbone(backbone) if recipe.colour == "grey" and backbone.channels == 3 else backbone


def _backbone_of(run: Any) -> Backbone:
    """Return the backbone that another run has trained."""
    folder = RunFolder(run)
    recipe, facts = folder.read()
    if not isinstance(recipe, AdaptationRecipe | TransferRecipe):
        raise DataError(f"{run}: a run of the recipe embedded has no backbone to go on with")
    backbone = rebuild(facts["backbone"])
    weights = folder.network_weights()
    own = {name.removeprefix("backbone."): value for name, value in weights.items() if name.startswith("backbone.")}
    try:
        backbone.load_state_dict(own if isinstance(recipe, TransferRecipe) else weights, strict=True)
    except RuntimeError as error:
        raise DataError(f"{run}: its checkpoint is of another network than run.json says ({error})") from error
    return backbone


def _take_head(network: HeadedNetwork, recipe: TransferRecipe, folder: RunFolder) -> None:
    """Go on with the head too, where it names the same emotions in the same way."""
    before, _ = folder.read()
    if isinstance(before, TransferRecipe) and (before.emotions, before.head) == (recipe.emotions, recipe.head):
        weights = folder.network_weights()
        network.head.load_state_dict(
            {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
        )


class TransferModule(LightningModule):
    """Cross-entropy with the label."""

    def __init__(
        self, recipe: TransferRecipe, network: HeadedNetwork, *, steps_per_epoch: int, plain: bool = False
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.network = network
        self.augmentation = None if plain else augmentation(recipe)
        self.emotions: tuple[Emotion, ...] = SETS[recipe.emotions]
        self.accuracy = MulticlassAccuracy(len(self.emotions), average="micro")
        self.macro_f1 = MulticlassF1Score(len(self.emotions), average="macro")

    def augmented(self, pictures: Tensor) -> Tensor:
        """Return pictures, uint8, as they are shown in training: float, 0-255."""
        if self.augmentation is None:
            return pictures.float()
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            return self.augmentation(pictures.float() / 255.0).clamp(0.0, 1.0) * 255.0

    def told(self, batch: Batch) -> list[tuple[str, str, float]]:
        """Return the label, what the network says, and its probability."""
        pictures, labels = batch
        with torch.inference_mode():
            shares = self.network(pictures.float()).softmax(dim=1)
        return [
            (str(self.emotions[int(label)]), str(self.emotions[int(share.argmax())]), float(share.max()))
            for label, share in zip(labels, shares, strict=True)
        ]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the augmentation: only now, since loaders draw from the same generator when they start."""
        if batch_idx == 0:
            torch.manual_seed(self.recipe.epoch_seed(self.current_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one augmented batch."""
        pictures, labels = batch
        logits = self.network(self.augmented(pictures))
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the right answers of one batch, without augmentation or flip averaging."""
        pictures, labels = batch
        logits = self.network(pictures.float())
        self.accuracy.update(logits, labels)
        self.macro_f1.update(logits, labels)
        self.log("validation_loss", functional.cross_entropy(logits, labels), batch_size=len(labels), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, by which the checkpoint is chosen, and macro-F1."""
        self.log_dict({"accuracy": self.accuracy.compute(), "macro_f1": self.macro_f1.compute()}, sync_dist=True)
        self.accuracy.reset()
        self.macro_f1.reset()

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser over what is not frozen, with its schedule."""
        recipe = self.recipe
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adamw":
            optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        else:
            optimiser = torch.optim.SGD(
                trained,
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
                nesterov=recipe.momentum > 0,
            )
        if recipe.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=recipe.plateau)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": plateau, "monitor": "validation_loss"}}
        if recipe.schedule == "cosine":
            steps = max(1, recipe.epochs * self.steps_per_epoch)
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
        return optimiser
