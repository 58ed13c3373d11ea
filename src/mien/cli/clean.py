"""`mien clean`: labelled pictures of anything → a data set of faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli import completion, options
from mien.cli.messages import say

if TYPE_CHECKING:
    from mien.collect.cleaning import Cleaned
    from mien.collect.cutting import Crop


def clean(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="What `mien collect` made, or any folder with a folder of pictures for each emotion."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DATASET", help="The folder to make.")],
    recipe: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="RECIPE",
            autocompletion=completion.recipes,
            help="Cut faces out as this recipe takes them; --size and --grey change it.",
        ),
    ] = "web-five",
    size: Annotated[
        int | None, typer.Option(min=24, max=1024, metavar="PIXELS", help="Side of the faces that are written.")
    ] = None,
    grey: Annotated[bool | None, typer.Option("--grey/--colour", help="Faces in grey, or in colour.")] = None,
    faces: Annotated[
        Literal["one", "all"],
        typer.Option(help="one takes pictures with exactly one face, all every face of every picture."),
    ] = "one",
    min_face: Annotated[
        float, typer.Option(min=1, metavar="PIXELS", help="Side of the smallest face to keep.")
    ] = 48.0,
    min_sharpness: Annotated[
        float,
        typer.Option(
            min=0,
            help="Keep faces at least this sharp, by the variance of the Laplacian; the contact sheet of what is too "
            "blurred shows what that means. 0 keeps all.",
        ),
    ] = 50.0,
    detector: options.FaceDetector = "mtcnn",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Leave out every face that is in this data set or folder of pictures, such as one to test on; may "
            "be repeated.",
        ),
    ] = None,
    suspect: Annotated[
        bool,
        typer.Option(
            "--suspect",
            help="Write a page, suspects.html, of labels that a model doubts; you decide on each with a key.",
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.classifiers,
            help="The model that doubts, by name, or an .onnx file.",
        ),
    ] = "embedded",
    decisions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Obey what that page saved here, and a decisions.json in DATASET."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier data set.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")] = False,
) -> None:
    """Make a data set of the faces in labelled pictures.

    It takes one face of each picture, large and sharp enough, and no copies. Pictures that are left out are counted
    by reason and lie in DATASET/rejected; nothing is removed from DIR. Contact sheets of each label and reason are in
    DATASET/sheets.

    What is found in a picture is kept in DIR, so that a run which was ended goes on where it stopped, and a second
    one with other limits is fast.

    Examples:
        mien clean web/ --out data/mine
        mien clean web/ --out data/mine --against data/fer --suspect --overwrite
    """
    from mien.cli.counting import Counting
    from mien.cli.interrupts import Interrupts
    from mien.collect.cleaning import clean_pictures
    from mien.collect.verdicts import Requirements

    crop = _crop(recipe, size, grey)
    counting = Counting(shown=not quiet)
    try:
        with Interrupts(), counting:
            done = clean_pictures(
                folder,
                out,
                crop=crop,
                limits=Requirements(faces=faces, min_face=min_face, min_sharpness=min_sharpness),
                detector=detector,
                against=against or (),
                decisions=decisions,
                suspect=suspect,
                model=model,
                overwrite=overwrite,
                progress=counting,
            )
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        raise typer.Exit(130) from None
    if not quiet:
        _tell(done, out, crop)


def _crop(recipe: str, size: int | None, grey: bool | None) -> Crop:
    """Return how a recipe takes faces, as far as nothing else is asked for.

    Raises:
        UsageError: there is no such recipe, or it takes no faces.

    """
    from mien.align import FER2013, Geometry
    from mien.collect.cutting import Crop
    from mien.errors import UsageError
    from mien.training.recipe import EmbeddedRecipe, TransferRecipe, read_recipe

    chosen = read_recipe(recipe)
    if isinstance(chosen, TransferRecipe):
        geometry = Geometry(scale=chosen.crop_scale, across=0.0, down=0.0)
        of_recipe = Crop(chosen.size, chosen.colour == "grey", geometry)
    elif isinstance(chosen, EmbeddedRecipe):
        of_recipe = Crop(chosen.size, True, FER2013)
    else:
        raise UsageError(f"--for {recipe}: it does not take faces; name one that does, such as web-five")
    return Crop(size or of_recipe.size, of_recipe.grey if grey is None else grey, of_recipe.geometry)


def _tell(done: Cleaned, out: Path, crop: Crop) -> None:
    from mien.cli.columns import in_columns
    from mien.collect.doubting import SUSPECTS
    from mien.collect.leftovers import REJECTED, SHEETS
    from mien.collect.verdicts import Reason
    from mien.errors import one_line

    reasons = [reason for reason in Reason if any(one == reason for _, one in done.rejected)]
    labels = sorted(done.pictures)
    rows = [
        [
            str(label),
            str(done.pictures[label]),
            str(done.kept.get(label, 0)),
            *(str(done.rejected.get((label, reason), 0)) for reason in reasons),
        ]
        for label in [*labels, *(label for label in done.kept if label not in done.pictures)]
    ]
    if len(rows) > 1:
        rows.append(["together", *(str(sum(int(row[i]) for row in rows)) for i in range(1, len(rows[0])))])
    heads = ["label", "pictures", "faces", *map(str, reasons)]
    typer.echo(in_columns(heads, rows, right=range(1, len(heads))), err=True)
    where = one_line(str(out))
    typer.echo(
        f"{where}: {sum(done.kept.values())} faces of {crop.size}x{crop.size}, {'grey' if crop.grey else 'colour'}; "
        f"look at {where}/{SHEETS}" + (f", left out: {where}/{REJECTED}" if reasons else ""),
        err=True,
    )
    for line in _doubts(done, f"{where}/{SUSPECTS}"):
        typer.echo(line, err=True)


def _doubts(done: Cleaned, page: str) -> Sequence[str]:
    lines = []
    if done.decided or done.idle:
        idle = f"; {done.idle} are of faces that are not here any more" if done.idle else ""
        lines.append(f"{done.decided} decisions obeyed{idle}")
    if done.suspects is not None:
        first = f", the {done.shown} most doubtful on the page" if done.shown < done.suspects else ""
        lines.append(f"{done.suspects} labels are in doubt{first}: open {page} in a browser")
    return lines
