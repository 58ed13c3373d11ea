"""`mien evaluate`: how good a model is, on labelled faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli import completion, options


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=completion.classifiers,
            help="A model by name, such as embedded, or an .onnx file.",
        ),
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Labelled faces, such as `mien data unpack-fer` makes.")],
    split: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="The split to measure on. Default: private_test, or else test."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as JSON, a list of objects, and nothing else.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write Markdown, HTML, JSON and charts to this folder."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report that exists.")] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Also the accuracy for each value of a column of metadata.csv; may be repeated."
        ),
    ] = None,
    robust: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Also the accuracy on faces that are badly framed, rolled, compressed, small, dark and light.",
        ),
    ] = False,
    device: options.Device = "cpu",
) -> None:
    """Measure how often a model is right, on labelled faces.

    It prints accuracy, macro-F1, recall of each emotion and calibration error, for all faces and without copies of
    training pictures, in one pass (what `mien analyze` does) and averaged with the mirrored face (`--flip`). Needs no
    torch.

    Of FER2013, the output `fer2013` is held against that set's labels, and `votes` against the majority of the
    FERPlus raters. Of other sets, each output is held against the labels.

    Examples:
        mien evaluate embedded --data data/fer
        mien evaluate mine.onnx --data data/fer --report report/ --robustness
    """
    import json

    from mien.classifier import open_classifier
    from mien.cli.columns import in_columns
    from mien.datasets.labelled import read_labelled_faces
    from mien.errors import one_line
    from mien.evaluation.answers import ask, not_shared
    from mien.evaluation.report import check_report, write_report
    from mien.evaluation.robustness import robustness
    from mien.evaluation.scores import default_split, largest_difference
    from mien.evaluation.scores import evaluate as measure
    from mien.evaluation.slices import bins, slices
    from mien.evaluation.tables import (
        gap_sentence,
        recall_table,
        records,
        robustness_table,
        score_table,
        slices_table,
        slices_title,
    )
    from mien.evaluation.truth import is_fer2013

    if report is not None:
        check_report(report, overwrite=overwrite)
    classifier = open_classifier(model, device=device)
    faces = read_labelled_faces(data)
    chosen = split or default_split(faces)
    tested = faces.split(chosen)
    for column in by or ():
        bins(faces, column)  # that it is there is known before anything is measured
    scores = measure(classifier, faces, split=chosen)
    sliced = [slices(answers, tested, column) for column in by or () for answers in ask(classifier, tested)]
    kept = robustness(classifier, faces, split=chosen) if robust else []
    if (
        is_fer2013(faces)
        and faces.votes is None
        and any(output.name == "votes" for output in classifier.metadata.outputs)
    ):
        typer.echo(f"mien: {one_line(str(data))}: it has no votes, so the output votes is not measured", err=True)
    if as_json:
        typer.echo(json.dumps(records(scores, sliced, kept), indent=1))
    else:
        typer.echo(f"{one_line(f'{classifier.identity} on {data}, split {chosen}')}\n")
        heads, rows = score_table(scores)
        typer.echo(in_columns(heads, rows, right=range(4, len(heads))))
        heads, rows = recall_table(scores)
        typer.echo(f"\n{in_columns(heads, rows, right=range(1, len(heads)))}")
        for note in not_shared(classifier.metadata.outputs, tested):
            typer.echo(f"\n{note}")
        for one in sliced:
            heads, rows = slices_table(one)
            table = in_columns(heads, rows, right=(1, 2, 3))
            typer.echo(f"\n{one_line(slices_title(one))}\n{table}\n{gap_sentence(one)}")
        if kept:
            heads, rows = robustness_table(kept)
            typer.echo(f"\n{in_columns(heads, rows, right=(3, 4, 5))}")
        count, difference = largest_difference(classifier.metadata.scores, scores)
        if count:
            typer.echo(
                f"\nThe file claims {count} of these accuracies; they differ by {difference:.2f} points at most."
            )
    if report is not None:
        about = classifier.metadata
        write_report(
            report,
            scores,
            model=classifier.identity,
            metadata=about,
            data=data,
            sliced=sliced,
            kept=kept,
            overwrite=overwrite,
        )
        typer.echo(f"mien: the report is in {one_line(str(report / 'report.html'))}", err=True)
