"""The folder of a training run: what lies where in it, and what it may be used for.

RUN/
recipe.toml        every setting
run.json           versions, data and its fingerprint, rows used, the network
metrics.csv        one line an epoch, on the validation rows with the averaged weights
checkpoints/       last.ckpt, best.ckpt: averaged weights, and all that resuming needs
logs/              the same figures for TensorBoard, where it is installed
seen.png           pictures as the network sees them in training
curves.png, predictions.png, report.md   at the end: figures over time, what the best epoch says of pictures
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.datasets.labelled import METADATA
from mien.errors import DataError, OutputError, UsageError
from mien.sources import find_pictures
from mien.training.recipe import AdaptationRecipe, EmbeddedRecipe, Recipe, TransferRecipe, parse_recipe
from mien.whole import write_whole


class RunFolder:
    """The files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.toml"
        self.facts = self.path / "run.json"
        self.metrics = self.path / "metrics.csv"
        self.logs = self.path / "logs"
        self.seen = self.path / "seen.png"
        self.curves = self.path / "curves.png"
        self.predictions = self.path / "predictions.png"
        self.report = self.path / "report.md"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"

    def check_unused(self) -> None:
        """Check that a run may start here: nothing is there, or only what a start that failed has left.

        Raises:
            UsageError: a run or something else is there.
        """
        if self.last.is_file():
            raise UsageError(f"{self.path}: it exists already; go on with it by --resume, or name another folder")
        own = {path.name for path in (self.recipe, self.facts, self.metrics, self.checkpoints, self.logs, self.seen)}
        own |= {f"{name}.partial" for name in own}
        if self.path.exists() and (not self.path.is_dir() or {entry.name for entry in self.path.iterdir()} - own):
            raise UsageError(f"{self.path}: it is there and is not a run; name another folder")

    def check_resumable(self, data: Path) -> None:
        """Check that the run has a whole epoch behind it, and was trained on the labelled faces in `data`.

        Raises:
            DataError: the data have changed, or the run's files cannot be read.
            UsageError: there is nothing to resume.
        """
        if not self.last.is_file():
            raise UsageError(f"{self.path}: it has no checkpoints/last.ckpt to resume from; train without --resume")
        if fingerprint(data) != self.read()[1]["data_sha256"]:
            raise DataError(f"{data}: it is not the data that {self.path} was trained on")

    def start(self, recipe: EmbeddedRecipe | AdaptationRecipe | TransferRecipe, facts: Mapping[str, Any]) -> None:
        """Write what is known before the first epoch.

        Raises:
            OutputError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.recipe, recipe.to_toml().encode())
            write_whole(self.facts, json.dumps(facts, indent=2).encode())
            self.metrics.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def forget_after(self, epoch: int) -> None:
        """Take out of metrics.csv what follows `epoch`: a run that was killed had written it before its checkpoint.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            head, *lines = self.metrics.read_bytes().splitlines(keepends=True)
        except (FileNotFoundError, ValueError):  # not there, or empty
            return
        known = [line for line in lines if line.endswith(b"\n") and int(line.partition(b",")[0]) <= epoch]
        if known != lines:
            write_whole(self.metrics, head + b"".join(known))

    def read(self) -> tuple[EmbeddedRecipe | AdaptationRecipe | TransferRecipe, dict[str, Any]]:
        """Return the recipe and the facts that `start` wrote.

        Raises:
            DataError: they are not there, or damaged.
        """
        try:
            recipe = parse_recipe(self.recipe.read_text("utf-8"))
            facts: dict[str, Any] = json.loads(self.facts.read_text("utf-8"))
        except (OSError, ValueError, UsageError) as error:  # both parsers' errors are ValueErrors
            raise DataError(f"{self.path}: not a run, or a damaged one ({error})") from error
        if not isinstance(recipe, Recipe):
            raise DataError(f"{self.path}: a chain has no network of its own; name one of the runs in it")
        return recipe, facts

    def checkpoint(self, *, last: bool = False) -> dict[str, Any]:
        """Return the best epoch's, or the last one's.

        Raises:
            DataError: there is none yet, or it is damaged.
        """
        path = self.last if last else self.best
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise DataError(f"{path}: the run has no whole epoch yet") from error
        except Exception as error:  # torch.load raises what its unpicklers raise
            raise DataError(f"{path}: the checkpoint cannot be read ({error}); try again between epochs") from error
        return checkpoint

    def network_weights(self, *, last: bool = False) -> dict[str, Tensor]:
        """Return the weights of the best epoch's network, or the last one's, by their names in it."""
        return {
            name.removeprefix("network."): value
            for name, value in self.checkpoint(last=last)["state_dict"].items()
            if name.startswith("network.")
        }


def fingerprint(data: Path) -> str:
    """Return the sha256 of the metadata.csv in the folder `data`, or else of the names and sizes of its pictures.

    Raises:
        DataError: it cannot be read.
        SourceError: there is neither.
    """
    try:
        if (data / METADATA).is_file():
            return hashlib.sha256((data / METADATA).read_bytes()).hexdigest()
        pictures = find_pictures(data, recursive=True)
        listed = "".join(f"{os.fspath(path.relative_to(data))}\0{path.stat().st_size}\n" for path in pictures)
        return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror or error})") from error
