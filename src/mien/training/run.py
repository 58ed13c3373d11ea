"""One training run, from a data set and a recipe to a folder with checkpoints."""

from __future__ import annotations

import csv
import math
import platform
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kornia
import lightning
import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler, TensorDataset

import mien
from mien.datasets.labelled import read_labelled_faces
from mien.errors import DataError
from mien.training.folder import RunFolder, fingerprint
from mien.training.module import EmbeddedModule
from mien.training.network import multiply_adds
from mien.training.recipe import Recipe
from mien.training.targets import Targets, repetitions, targets, training_rows

METRICS = ("epoch", "train_loss", "validation_loss", "votes_accuracy", "fer2013_accuracy", "score", "seconds")


class EpochSampler(Sampler[int]):
    """The rows as often as `times` (n,) says, in an order that depends on (seed, epoch) alone.

    Lightning calls `set_epoch`.
    """

    def __init__(self, times: NDArray[np.int64], recipe: Recipe) -> None:
        self.rows = torch.from_numpy(np.repeat(np.arange(len(times)), times))
        self.recipe, self.epoch = recipe, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of `epoch`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.recipe.epoch_seed(self.epoch))
        return iter(self.rows[torch.randperm(len(self), generator=generator)].tolist())


class EpochLog(Callback):
    """Appends each epoch to metrics.csv and says it in one line on standard error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line."""
        values: dict[str, Any] = {name: round(float(v), 5) for name, v in trainer.callback_metrics.items()}
        values |= {"epoch": trainer.current_epoch, "seconds": round(time.perf_counter() - self.started, 1)}
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, METRICS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(values)
        said = "  ".join(f"{name} {values.get(name, math.nan)}" for name in METRICS)
        sys.stderr.write(said + "\n")
        sys.stderr.flush()


def train(recipe: Recipe, *, data: str | Path, run: str | Path, resume: bool = False) -> Path:
    """Train the embedded model on the labelled faces in `data`, into the folder `run`.

    Chosen on the split `public_test`; `private_test` is not looked at.

    Args:
        recipe: the settings; on resuming, those kept in `run` hold instead.
        data: a folder with `metadata.csv` and votes.
        run: the folder to make, or to go on with.
        resume: continue at the end of the last whole epoch.

    Returns:
        The path of the best checkpoint.

    Raises:
        DataError: the data is not as needed, or not what a resumed run was trained on.
        OutputError: `run` cannot be written.
        UsageError: `run` exists and `resume` is off, or it cannot be resumed.

    """
    folder, data = RunFolder(run), Path(data)
    if resume:
        folder.check_resumable(data)
        recipe, _ = folder.read()
    else:
        folder.check_unused()

    faces = read_labelled_faces(data)
    rows = training_rows(faces, max_not_a_face_votes=recipe.max_not_a_face_votes)
    if not rows.any():
        raise DataError(f"{data}: no row is left to train on")
    training = targets(faces.select(rows), size=recipe.size, min_votes=recipe.min_votes)
    validation = targets(faces.split("public_test"), size=recipe.size, min_votes=recipe.min_votes)

    torch.manual_seed(recipe.seed)
    loader = _loader(training, recipe.batch_size, EpochSampler(repetitions(training, balance=recipe.balance), recipe))
    module = EmbeddedModule(recipe, steps_per_epoch=len(loader)).to(memory_format=torch.channels_last)
    trainer = _trainer(recipe, folder)
    if not resume:
        folder.start(recipe, _facts(module, recipe, data, training))
    with warnings.catch_warnings():
        # the whole set lies in memory: worker processes would only copy it
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # that is what resuming means
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        trainer.fit(
            module,
            loader,
            _loader(validation, 256, None),
            ckpt_path=folder.last if resume else None,
            weights_only=False if resume else None,
        )
    return folder.best


def _trainer(recipe: Recipe, folder: RunFolder) -> Trainer:
    best = ModelCheckpoint(
        dirpath=folder.checkpoints, filename="best", monitor="score", mode="max", enable_version_counter=False
    )
    last = ModelCheckpoint(
        dirpath=folder.checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    return Trainer(
        max_epochs=recipe.epochs,
        precision=recipe.precision,  # type: ignore[arg-type]  # a plain string to Recipe, which has checked it
        callbacks=[EMAWeightAveraging(decay=recipe.average_decay), EpochLog(folder.metrics), best, last],
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )


def _loader(rows: Targets, batch_size: int, sampler: EpochSampler | None) -> DataLoader[tuple[torch.Tensor, ...]]:
    dataset = TensorDataset(rows.pictures, rows.votes, rows.labels)
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, drop_last=False)


def _facts(module: EmbeddedModule, recipe: Recipe, data: Path, training: Targets) -> dict[str, Any]:
    return {
        "recipe": "embedded",
        "data": str(data.resolve()),
        "data_sha256": fingerprint(data),
        "training_rows": len(training),
        "parameters": sum(p.numel() for p in module.network.parameters()),
        "multiply_adds": multiply_adds(module.network, recipe.size),
        "versions": {
            "mien": mien.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "kornia": kornia.__version__,
        },
    }
