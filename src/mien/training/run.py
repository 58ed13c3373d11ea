"""One training run, from a recipe and data to a folder with checkpoints."""

from __future__ import annotations

import csv
import math
import os
import platform
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import kornia
import lightning
import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

import mien
from mien.errors import UsageError
from mien.training.checkpoints import WholeCheckpoints
from mien.training.embedded import embedded_job
from mien.training.folder import RunFolder, fingerprint
from mien.training.job import Batch, Inputs, Job
from mien.training.matching import matching_job
from mien.training.pages import draw_seen, write_report
from mien.training.recipe import AdaptationRecipe, ChainRecipe, EmbeddedRecipe, TransferRecipe
from mien.training.sampler import EpochSampler
from mien.training.transfer import transfer_job

RunRecipe = EmbeddedRecipe | AdaptationRecipe | TransferRecipe


def train(
    recipe: RunRecipe,
    *,
    name: str,
    inputs: Inputs,
    run: str | Path,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
) -> Path:
    """Train what a recipe says, into the folder `run`.

    Args:
        recipe: the settings; on resuming, those kept in `run` hold instead.
        name: of the recipe, for the folder.
        inputs: the data, and what to begin with.
        run: the folder to make, or to go on with.
        resume: continue at the end of the last whole epoch.
        accelerator: Lightning's name of what to compute with: `auto`, `cpu`, `gpu`.
        devices: how many processes share each batch, one a device.

    Returns:
        The path of the best checkpoint.

    Raises:
        DataError: the data is not as needed, or not what a resumed run was trained on.
        ModelError: pretrained weights cannot be had.
        OutputError: `run` cannot be written.
        UsageError: `run` exists and `resume` is off, it cannot be resumed, or the recipe makes no sense here.

    """
    folder = RunFolder(run)
    rank = int(os.environ.get("LOCAL_RANK", "0"))  # Lightning starts the other processes as this one was started
    if resume:
        folder.check_resumable(inputs.data)
        recipe, _ = folder.read()
    elif rank == 0:
        folder.check_unused()
    if recipe.batch_size % devices:
        raise UsageError(f"{devices} devices cannot share a batch of {recipe.batch_size} evenly: --set batch_size=…")
    torch.manual_seed(recipe.seed)
    job = _job(recipe, inputs)
    module = job.module.to(memory_format=torch.channels_last)
    sampler = EpochSampler(job.times, recipe, rank=rank, processes=devices)
    loader = DataLoader(job.training, batch_size=recipe.batch_size // devices, sampler=sampler)
    if rank == 0 and resume:
        folder.forget_after(folder.checkpoint(last=True)["epoch"])
    elif rank == 0:
        folder.start(recipe, {"recipe": name, **_facts(inputs), **job.facts})
        draw_seen(module, next(iter(DataLoader(job.training, batch_size=48))), folder.seen)
    trainer = _trainer(recipe, job, folder, accelerator, devices)
    module.train()  # pretrained networks come in the other mode, and Lightning leaves each as it is
    with warnings.catch_warnings():
        # the whole set lies in memory: worker processes would only copy it
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # that is what resuming means
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        trainer.fit(
            module,
            loader,
            DataLoader(job.validation, batch_size=256),
            ckpt_path=folder.last if resume else None,
            weights_only=True,
        )
    if rank == 0:
        shown: Batch = next(iter(DataLoader(job.validation, batch_size=48)))
        module.load_state_dict(folder.checkpoint()["state_dict"], strict=False)
        write_report(folder, name, job, shown)
    return folder.best


def train_chain(recipe: ChainRecipe, *, data: Path, run: Path, settings: Any, **options: Any) -> Path:
    """Run the stages of a chain one after the other; a stage that has ended before is not run again.

    Args:
        recipe: the chain.
        data: a folder with the data of each stage in a folder of the stage's name.
        run: the folder to make: each stage has its run in it.
        settings: a function from a stage's name to its recipe.
        options: `resume`, `accelerator` and `devices`, as in `train`.

    Returns:
        The path of the last stage's best checkpoint.

    """
    missing = [stage for stage in recipe.stages if not (data / stage).is_dir()]
    if missing:
        raise UsageError(f"{data}: a chain needs the data of its stages there: {', '.join(missing)} is missing")
    resume = bool(options.pop("resume", False))
    if not resume and run.exists():
        raise UsageError(f"{run}: it exists already; go on with it by --resume, or name another folder")
    before: Path | None = None
    best = run
    for stage in recipe.stages:
        folder = RunFolder(run / stage)
        if not folder.report.is_file():
            begun = resume and folder.last.is_file()
            inputs = Inputs(data / stage, init=before)
            best = train(settings(stage), name=stage, inputs=inputs, run=folder.path, resume=begun, **options)
        before, best = folder.path, folder.best
    return best


def _job(recipe: RunRecipe, inputs: Inputs) -> Job:
    if isinstance(recipe, EmbeddedRecipe):
        return embedded_job(recipe, inputs)
    if isinstance(recipe, TransferRecipe):
        return transfer_job(recipe, inputs)
    return matching_job(recipe, inputs)


class EpochLog(Callback):
    """Appends each epoch to metrics.csv and says it in one line on standard error."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, ("epoch", *columns, "seconds")
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the line."""
        if not trainer.is_global_zero:
            return
        values: dict[str, Any] = {name: round(float(v), 5) for name, v in trainer.callback_metrics.items()}
        values |= {"epoch": trainer.current_epoch, "seconds": round(time.perf_counter() - self.started, 1)}
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(values)
        said = "  ".join(f"{name} {values.get(name, math.nan)}" for name in self.columns)
        sys.stderr.write(said + "\n")
        sys.stderr.flush()


def _trainer(recipe: RunRecipe, job: Job, folder: RunFolder, accelerator: str, devices: int) -> Trainer:
    callbacks: list[Callback] = [
        EpochLog(folder.metrics, job.columns),
        ModelCheckpoint(
            dirpath=folder.checkpoints,
            filename="best",
            monitor=job.monitor,
            mode=job.mode,
            enable_version_counter=False,
        ),
        ModelCheckpoint(
            dirpath=folder.checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
        ),
    ]
    if job.average_decay:
        callbacks.insert(0, EMAWeightAveraging(decay=job.average_decay))
    if job.patience:
        callbacks.append(EarlyStopping(job.monitor, mode=job.mode, patience=job.patience))
    logger = TensorBoardLogger(folder.path, name="logs", version="") if find_spec("tensorboard") else False
    return Trainer(
        max_epochs=recipe.epochs,
        precision=cast("Any", recipe.precision),
        accelerator=accelerator,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,  # the sampler shares the rows out itself, and each validates on all
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=logger,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
    )


def _facts(inputs: Inputs) -> dict[str, Any]:
    return {
        "data": str(inputs.data.resolve()),
        "data_sha256": fingerprint(inputs.data),
        "init": None if inputs.init is None else inputs.init.name,
        "teachers": [run.name for run in inputs.teachers],
        "overfit": inputs.overfit,
        "versions": {
            "mien": mien.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "kornia": kornia.__version__,
            "numpy": np.__version__,
        },
    }
