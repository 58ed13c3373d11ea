"""`mien data`: data sets in the layout that training and evaluation read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(help="Make data sets that training and evaluation can read.", no_args_is_help=True)


@data.callback()
def _group() -> None:
    """Keep the verbs below `mien data`, also while there is only one of them."""


@data.command("unpack-fer")
def unpack_fer(
    fer2013: Annotated[Path, typer.Argument(metavar="FER2013.CSV", help="The published fer2013.csv.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    ferplus: Annotated[
        Path | None, typer.Option(metavar="FER2013NEW.CSV", help="The FERPlus votes, fer2013new.csv.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier one.")] = False,
) -> None:
    """Unpack FER2013 into labelled pictures with a metadata.csv, and find its copies."""
    from mien.datasets.fer2013 import unpack_fer2013

    done = unpack_fer2013(fer2013, out, ferplus=ferplus, overwrite=overwrite)
    counts = ", ".join(f"{split} {count}" for split, count in done.pictures.items())
    typer.echo(f"{out}: {counts} pictures", err=True)
    typer.echo(
        f"{done.copies} are copies of an earlier one; {done.train_copies_of_test} of train are copies of test ones, "
        f"{done.train_similar_to_test} look the same: training leaves those out",
        err=True,
    )
