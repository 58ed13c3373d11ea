"""The command line: one file a verb."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from mien.cli.analyze import analyze
from mien.cli.data import data
from mien.cli.export import export
from mien.cli.train import train
from mien.errors import MienError, UsageError

app = typer.Typer(
    name="mien",
    help="Reads the expression on faces: the one a human rater would most likely name, not what a person feels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(analyze)
app.command()(train)
app.command()(export)
app.add_typer(data, name="data")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        import mien

        typer.echo(f"mien {mien.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; every error that mien raises on purpose becomes one line and an exit status."""
    # decoders warn of oddities in files that they read all the same
    warnings.filterwarnings("ignore", module="PIL")
    try:
        app()
    except BrokenPipeError:  # the reader of our output has gone: `mien … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
