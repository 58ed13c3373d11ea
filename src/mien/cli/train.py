"""`mien train`: a network from a recipe and data."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import completion

_BEGINNING = "What it learns from, besides the data"
_MACHINE = "The machine"
_NEEDED = (
    "huggingface_hub",
    "kornia",
    "lightning",
    "matplotlib",
    "onnx",
    "onnxscript",
    "safetensors",
    "torch",
    "torchmetrics",
    "transformers",
)
"""What training and exporting import, of the extra `train`."""


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            autocompletion=completion.recipes,
            help="embedded, gray-imagenet, fer-five, web-five, chain-five (those three, one after the other), "
            "vggface2-three, or a file of your own, NAME.toml.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Labelled faces, as `mien data unpack-fer` and `mien data import` make them. For gray-imagenet: a "
            "folder of any pictures. For chain-five: a folder with the data of each stage under its name.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where all that comes of it is kept. Default: runs/RECIPE."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            rich_help_panel=_BEGINNING,
            help="Begin with the network that another run has trained (embedded: or that of an .onnx file).",
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            rich_help_panel=_BEGINNING,
            help="Imitate the answers of this run's network, or of an .onnx file (embedded); may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the recipe; may be repeated. In a chain: STAGE.KEY=VALUE.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this run at the end of its last whole epoch.")
    ] = False,
    overfit: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Train on N pictures alone, as a check that the network can learn. Default: all."
        ),
    ] = 0,
    accelerator: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MACHINE,
            autocompletion=completion.accelerators,
            help="What to compute on: auto, cpu, gpu or mps.",
        ),
    ] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, rich_help_panel=_MACHINE, help="How many of them; each batch is shared out.")
    ] = 1,
    show: Annotated[
        bool, typer.Option("--show", help="Train nothing: print the recipe, with what its settings mean.")
    ] = False,
) -> None:
    """Train a network by a recipe on labelled faces.

    Checkpoints, curves, a report and all that is needed to repeat it go to the run's folder. `mien export` makes a
    model file of it.

    Examples:
        mien train embedded --show
        mien train embedded --data data/fer --run runs/mine
        mien train embedded --run runs/mine --data data/fer --resume
    """
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

    if any(find_spec(module) is None for module in _NEEDED):
        raise MissingExtraError("training", "train")
