"""`mien train`: a network from a recipe and data."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="embedded; gray-imagenet, fer-five and web-five, or the three as chain-five; vggface2-three; or a "
            "file of your own, NAME.toml.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Labelled faces, as `mien data unpack-fer` and `mien data import` make them; for gray-imagenet a "
            "folder of any pictures; for a chain a folder with the data of each stage under its name.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. Default: runs/RECIPE."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Go on with the network that another run has trained (embedded: or an .onnx file's)."
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN", help="Imitate what this run's network, or an .onnx file, says (embedded); may be repeated."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting; may be repeated. In a chain: STAGE.KEY=VALUE."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on at the end of the last whole epoch.")] = False,
    overfit: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Train on N pictures alone, as a check that the network can learn."),
    ] = 0,
    accelerator: Annotated[str, typer.Option(help="What to compute with: auto, cpu, gpu, mps.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many of them; each batch is shared out.")] = 1,
    show: Annotated[bool, typer.Option("--show", help="Print the recipe with what its keys mean, and exit.")] = False,
) -> None:
    """Train a network; checkpoints, curves and all that is needed to repeat it go to the run's folder."""
    from mien.errors import UsageError
    from mien.training.recipe import AdaptationRecipe, ChainRecipe, read_recipe, recipe_text

    given = settings or []
    if show:
        typer.echo(read_recipe(recipe, given).to_toml() if given else recipe_text(recipe), nl=False)
        return
    chosen = read_recipe(recipe)
    staged: dict[str, list[str]] = {}
    if not isinstance(chosen, ChainRecipe):
        chosen = read_recipe(recipe, given)
    else:
        staged = _by_stage(given, chosen.stages)
        for stage, changes in staged.items():
            read_recipe(stage, changes)
    if data is None:
        raise UsageError("--data is missing: the folder of labelled faces to train on")
    if resume and settings:
        raise UsageError("--resume goes on with the settings that the run has kept: leave out --set")
    require_training()
    from mien.training.job import Inputs
    from mien.training.run import train as train_run
    from mien.training.run import train_chain

    # Lightning tells of processors that are not there and of products; each epoch has its own line
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    name = Path(recipe).stem
    folder = run or Path("runs") / name
    if isinstance(chosen, ChainRecipe):
        if init is not None or teacher or overfit:
            raise UsageError("a chain has its own beginnings: leave out --init, --teacher and --overfit")
        checkpoint = train_chain(
            chosen,
            data=data,
            run=folder,
            settings=lambda stage: read_recipe(stage, staged[stage]),
            resume=resume,
            accelerator=accelerator,
            devices=devices,
        )
        folder = folder / chosen.stages[-1]
    else:
        inputs = Inputs(data, init=init, teachers=teacher or (), overfit=overfit)
        checkpoint = train_run(
            chosen,
            name=name,
            inputs=inputs,
            run=folder,
            resume=resume,
            accelerator=accelerator,
            devices=devices,
        )
    more = "" if isinstance(chosen, AdaptationRecipe) else f"; make a model of it by `mien export {folder} FILE`"
    typer.echo(f"{checkpoint}: the best epoch{more}", err=True)


def _by_stage(settings: list[str], stages: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the settings of a chain by stage.

    Raises:
        UsageError: one does not name a stage.

    """
    from mien.errors import UsageError

    sorted_out: dict[str, list[str]] = {stage: [] for stage in stages}
    for setting in settings:
        stage, dot, change = setting.partition(".")
        if not dot or stage not in sorted_out:
            raise UsageError(f"--set {setting}: in a chain it should read STAGE.KEY=VALUE, of {', '.join(stages)}")
        sorted_out[stage].append(change)
    return sorted_out


def require_training() -> None:
    """Check that the training stack is there.

    Raises:
        MissingExtraError: it is not.

    """
    from importlib.util import find_spec

    from mien.errors import MissingExtraError

    needed = ("torch", "lightning", "kornia", "torchmetrics", "transformers", "onnxscript", "matplotlib")
    if any(find_spec(name) is None for name in needed):
        raise MissingExtraError("training", "train")
