"""`mien train`: a model from a recipe and labelled faces."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="What to train: embedded.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Labelled faces, such as `mien data unpack-fer` makes.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. Default: runs/RECIPE."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on at the end of the last whole epoch.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the recipe's settings and exit.")] = False,
) -> None:
    """Train a model; checkpoints and all that is needed to repeat it go to the run's folder."""
    from mien.errors import UsageError
    from mien.training.recipe import shipped_recipe

    chosen = shipped_recipe(recipe, settings or ())
    if show:
        typer.echo(chosen.to_toml(), nl=False)
        return
    if data is None:
        raise UsageError("--data is missing: the folder of labelled faces to train on")
    if resume and settings:
        raise UsageError("--resume goes on with the settings that the run has kept: leave out --set")
    require_training()
    from mien.training.run import train as train_run

    # Lightning tells of processors that are not there and of products; each epoch has its own line
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    folder = run or Path("runs") / recipe
    checkpoint = train_run(chosen, data=data, run=folder, resume=resume)
    typer.echo(
        f"{checkpoint}: the best epoch on public_test; make a model of it by `mien export {folder} FILE`",
        err=True,
    )


def require_training() -> None:
    """Check that the training stack is there.

    Raises:
        MissingExtraError: it is not.

    """
    from importlib.util import find_spec

    from mien.errors import MissingExtraError

    if any(find_spec(name) is None for name in ("torch", "lightning", "kornia", "torchmetrics", "onnxscript")):
        raise MissingExtraError("training", "train")
