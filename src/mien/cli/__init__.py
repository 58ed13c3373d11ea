"""The command line: one file a verb."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from mien.cli.analyze import analyze
from mien.cli.bench import bench
from mien.cli.broken import broken_package
from mien.cli.clean import clean
from mien.cli.collect import collect
from mien.cli.compare import compare
from mien.cli.data import data
from mien.cli.doctor import doctor
from mien.cli.evaluate import evaluate
from mien.cli.export import export
from mien.cli.help import Verb, Verbs
from mien.cli.models import models
from mien.cli.plot import plot
from mien.cli.serve import serve
from mien.cli.train import train
from mien.cli.watch import watch
from mien.errors import MienError, ModelError, UsageError, one_line

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="mien",
    help="""Read the expression on faces: the one a human rater would most likely name, not what a person feels.

`mien VERB --help` shows what a verb does, its options, and examples.

Examples:
    mien analyze photo.jpg
    mien analyze talk.mp4 --out marked.mp4
    mien doctor
""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=Verbs,
)
_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Read faces": (analyze, plot, watch, serve),
    "Make a model": (collect, clean, train, export),
    "Measure a model": (evaluate, compare, bench),
}
for _panel, _verbs in _PANELS.items():
    for _verb in _verbs:
        app.command(cls=Verb, rich_help_panel=_panel)(_verb)
app.add_typer(data, name="data", rich_help_panel="Make a model")
app.add_typer(models, name="models", rich_help_panel="What is there")
app.command(cls=Verb, rich_help_panel="What is there")(doctor)


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
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a character shows another
        sys.stdout.reconfigure(errors="replace")
    try:
        app(prog_name="mien")
    except MienError as error:
        typer.echo(f"mien: {one_line(str(error))}", err=True)
        sys.exit(2 if isinstance(error, UsageError | ModelError) else 1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            where = one_line(str(error.filename or "standard output"))
            typer.echo(f"mien: {where}: cannot be written ({error.strerror})", err=True)
            os._exit(1)  # what is left in the buffer cannot be written either, and Python would say so again
        package = broken_package(error)
        if package is None:
            raise
        reason = one_line(str(error).strip().partition("\n")[0])
        advice = f"reinstall it: pip install --force-reinstall {package} (mien doctor looks at the others)"
        typer.echo(f"mien: {package} cannot be loaded ({reason}); {advice}", err=True)
        sys.exit(2)
