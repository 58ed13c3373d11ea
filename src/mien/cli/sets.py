"""`mien data stats`, `split` and `merge`: data sets that are there already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from mien.datasets.statistics import Statistics

Pictures = Annotated[
    Literal["copy", "link"],
    typer.Option(help="Copy the files, or link to where they are; none is encoded again."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier one.")]


def stats(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The folder of a data set.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print what is in a data set.

    Pictures by label and split, sizes, copies, sources, licences, fingerprints. The exit status is 1 where pictures
    are missing or damaged.

    Examples:
        mien data stats data/groups
    """
    from mien.cli.counting import Counting
    from mien.datasets.statistics import data_statistics
    from mien.errors import one_line

    with Counting() as counting:
        told = data_statistics(data, progress=counting)
    if as_json:
        typer.echo(json.dumps(told.to_record(), indent=1, ensure_ascii=False))
    else:
        _tell(told)
    if told.missing:
        typer.echo(f"mien: {len(told.missing)} pictures are missing, such as {one_line(told.missing[0])}", err=True)
        raise typer.Exit(1)


def split(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The folder of a data set.")],
    out: Annotated[Path, typer.Option(metavar="NEW", help="The folder to make.")],
    shares: Annotated[
        str, typer.Option(metavar="SHARES", help="The splits to draw, with the share of each.")
    ] = "train=0.7,val=0.15,test=0.15",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same seed draws the same splits.")] = 0,
    pictures: Pictures = "copy",
    overwrite: Overwrite = False,
) -> None:
    """Draw the splits of a data set anew.

    All pictures that come from one picture or page, or look the same, fall in one split; each label has its shares as
    nearly as that allows.

    Examples:
        mien data split data/groups --out data/drawn --shares train=0.8,test=0.2
    """
    from mien.cli.counting import Counting
    from mien.datasets.splitting import parse_shares, split_faces
    from mien.errors import one_line

    with Counting() as counting:
        done = split_faces(
            data,
            out,
            shares=parse_shares(shares, option="--shares"),
            seed=seed,
            link=pictures == "link",
            overwrite=overwrite,
            progress=counting,
        )
    typer.echo(_counts(done.pictures), err=True)
    together = sum(done.pictures.values())
    typer.echo(
        f"{one_line(str(out))}: {together} pictures from {done.origins} sources, {done.largest} from the largest",
        err=True,
    )


def merge(
    sets: Annotated[list[Path], typer.Argument(metavar="DATA", help="Two or more folders of data sets.")],
    out: Annotated[Path, typer.Option(metavar="NEW", help="The folder to make.")],
    pictures: Pictures = "copy",
    overwrite: Overwrite = False,
) -> None:
    """Make one data set of several.

    Each face stays in the split that it is in; copies are looked for across all of them.

    Examples:
        mien data merge data/groups data/drawn --out data/all
    """
    from mien.cli.counting import Counting
    from mien.datasets.merging import merge_faces
    from mien.errors import one_line

    with Counting() as counting:
        done = merge_faces(sets, out, link=pictures == "link", overwrite=overwrite, progress=counting)
    typer.echo(_counts(done.pictures), err=True)
    parts = ", ".join(f"{one_line(name)} {count}" for name, count in done.sets.items())
    typer.echo(f"{one_line(str(out))}: {sum(done.sets.values())} pictures ({parts})", err=True)
    typer.echo(
        f"{done.copies} are copies of an earlier one; {done.train_copies_of_test} of train are copies of pictures of "
        f"other splits, {done.train_similar_to_test} look the same as one: training leaves those out",
        err=True,
    )


def _counts(pictures: Mapping[tuple[str, str], int]) -> str:
    """Return a table of labels by split."""
    from mien.cli.columns import in_columns

    splits = list(dict.fromkeys(split for split, _ in sorted(pictures, key=lambda item: _place(item[0]))))
    labels = sorted({label for _, label in pictures})
    rows = [[label, *(str(pictures.get((split, label), 0)) for split in splits)] for label in labels]
    rows.append(["together", *(str(sum(int(row[i]) for row in rows)) for i in range(1, len(splits) + 1))])
    rows = [[*row, str(sum(map(int, row[1:])))] for row in rows]
    heads = ["label", *splits, "together"]
    return in_columns(heads, rows, right=range(1, len(heads)))


def _place(split: str) -> tuple[int, str]:
    known = ("train", "val", "valid", "validation", "public_test", "test", "private_test")
    return known.index(split) if split in known else len(known), split


def _tell(told: Statistics) -> None:
    from mien.cli.columns import in_columns
    from mien.errors import one_line

    typer.echo(f"{_counts(told.counts)}\n")
    sizes = sorted(told.sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{width}x{height} {kind}: {count}" for (width, height, kind), count in sizes[:5]]
    if len(sizes) > 5:
        shown.append(f"and {len(sizes) - 5} other sizes: {sum(count for _, count in sizes[5:])}")
    facts = {
        "sizes": shown,
        "copies": [
            f"{told.copies} are copies of an earlier one, {told.similar} look the same as one",
            f"{told.train_copies_of_test} of train are copies of pictures of other splits, "
            f"{told.train_similar_to_test} look the same as one",
        ],
        "sources": [
            f"{told.origins}"
            + (
                f", of which {told.origins_on_both_sides} are in train and in another split"
                * bool(told.origins_on_both_sides)
            )
        ],
        "columns": [", ".join([*(["votes"] if told.votes else []), *told.columns]) or "none"],
        "licences": [f"{one_line(name)}: {count}" for name, count in told.licences.items()],
        "what it is": [one_line(line) for line in told.description],
        "fingerprint": [told.fingerprint],
        "of pictures": [told.content],
    }
    rows = [("" if i else name, value) for name, values in facts.items() for i, value in enumerate(values)]
    typer.echo(in_columns(None, rows))
