"""`mien data`: data sets in the layout that training and evaluation read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.cli.help import Verb, Verbs
from mien.cli.sets import merge, split, stats
from mien.errors import one_line

data = typer.Typer(
    help="Make data sets that training and evaluation can read.",
    no_args_is_help=True,
    cls=Verbs,
    rich_markup_mode=None,
)


@data.callback()
def _group() -> None:
    """Keep the verbs below `mien data`."""


@data.command("unpack-fer", cls=Verb)
def unpack_fer(
    fer2013: Annotated[Path, typer.Argument(metavar="FER2013.CSV", help="The published fer2013.csv.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    ferplus: Annotated[
        Path | None, typer.Option(metavar="FER2013NEW.CSV", help="The FERPlus votes, fer2013new.csv.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that are broken, and count them.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier one.")] = False,
) -> None:
    """Unpack the published FER2013 into labelled pictures.

    The folder gets a metadata.csv with each picture's label, split and copies, and with `--ferplus` the votes of the
    raters.

    Examples:
        mien data unpack-fer fer2013.csv data/fer --ferplus fer2013new.csv
    """
    from mien.datasets.fer2013 import unpack_fer2013

    done = unpack_fer2013(fer2013, out, ferplus=ferplus, skip_bad=skip_bad, overwrite=overwrite)
    counts = ", ".join(f"{split} {count}" for split, count in done.pictures.items())
    typer.echo(f"{out}: {counts} pictures", err=True)
    typer.echo(
        f"{done.copies} are copies of an earlier one; {done.train_copies_of_test} of train are copies of test ones, "
        f"{done.train_similar_to_test} look the same: training leaves those out",
        err=True,
    )
    _tell_skipped(done.skipped, "rows")


@data.command("import", cls=Verb)
def import_data(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The folder of the set, as it was given out.")],
    out: Annotated[Path, typer.Option(metavar="DATA", help="The folder to make.")],
    layout: Annotated[
        Literal["auto", "folders", "rafdb", "affectnet"],
        typer.Option(
            help="folders: one for each class, maybe within one for each split. auto: whatever it looks like."
        ),
    ] = "auto",
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|SHARES",
            help="Where there are no splits: the one to put all in, or shares as in train=0.8,test=0.2. "
            "Default: train.",
        ),
    ] = None,
    pictures: Annotated[
        Literal["copy", "link"],
        typer.Option(help="Copy the files, or link to where they are; none is encoded again."),
    ] = "copy",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out faces that are broken or unreadable, and count them.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier one.")] = False,
) -> None:
    """Make a data set of class folders, RAF-DB (basic) or AffectNet.

    Copies are found and marked. What else the set says of its faces, such as age, is kept in metadata.csv for `mien
    evaluate --by`. RAF-DB and AffectNet are read as others describe them: compare the counts that are printed with
    those published.

    Examples:
        mien data import groups/ --out data/groups --split train=0.7,test=0.3
    """
    from mien.datasets.importing import import_faces

    done = import_faces(
        source,
        out,
        layout=layout,
        split=split,
        link=pictures == "link",
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    counts = ", ".join(f"{name} {count}" for name, count in done.pictures.items())
    typer.echo(f"{one_line(str(out))}: {counts} pictures, read as {done.layout}", err=True)
    typer.echo(", ".join(f"{emotion} {count}" for emotion, count in done.labels.items()), err=True)
    if done.not_emotions:
        typer.echo(f"{done.not_emotions} are no emotion or no face, as the set says, and are left out", err=True)
    typer.echo(
        f"{done.copies} are copies of an earlier one; {done.train_copies_of_test} of train are copies of pictures of "
        f"other splits, {done.train_similar_to_test} look the same as one",
        err=True,
    )
    _tell_skipped(done.skipped, "faces")


data.command(cls=Verb)(stats)
data.command(cls=Verb)(split)
data.command(cls=Verb)(merge)


def _tell_skipped(skipped: Sequence[str], what: str) -> None:
    if skipped:
        typer.echo(f"{what} left out as bad: {len(skipped)}; the first: {one_line(skipped[0])}", err=True)
