"""`mien evaluate`: how good a model is, on labelled faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mien.evaluation.robustness import Robustness
    from mien.evaluation.scores import Score
    from mien.evaluation.slices import Slices


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model by name, such as embedded, or an .onnx file.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Labelled faces, such as `mien data unpack-fer` makes.")],
    split: Annotated[
        str | None, typer.Option(help="The split to measure on. Default: private_test, or else test.")
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
            "--robustness", help="Also the accuracy on jittered, rolled, compressed, small, dark and light crops."
        ),
    ] = False,
) -> None:
    """Measure a model on labelled faces: accuracy, macro-F1, recall, confusion, calibration.

    FER2013's labels are asked of the output `fer2013`, the majority of the FERPlus raters of `votes`.
    Each figure is given for all faces and without copies of training pictures, for one pass (what
    `mien analyze` does) and averaged with the mirrored face (`--flip`). Of other sets, each output is asked for
    the labels. Needs no torch.
    """
    import json

    from mien.classifier import open_classifier
    from mien.cli.columns import in_columns
    from mien.datasets.labelled import read_labelled_faces
    from mien.errors import one_line
    from mien.evaluation.answers import ask, not_shared
    from mien.evaluation.report import check_report, recall_table, score_table, write_report
    from mien.evaluation.robustness import robustness
    from mien.evaluation.scores import default_split, largest_difference
    from mien.evaluation.scores import evaluate as measure
    from mien.evaluation.slices import bins, slices
    from mien.evaluation.truth import is_fer2013

    if report is not None:
        check_report(report, overwrite=overwrite)
    classifier = open_classifier(model)
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
        typer.echo(json.dumps(_records(scores, sliced, kept), indent=1))
    else:
        typer.echo(f"{one_line(f'{classifier.identity} on {data}, split {chosen}')}\n")
        heads, rows = score_table(scores)
        typer.echo(in_columns(heads, rows, right=range(4, len(heads))))
        heads, rows = recall_table(scores)
        typer.echo(f"\n{in_columns(heads, rows, right=range(1, len(heads)))}")
        for note in not_shared(classifier.metadata.outputs, tested):
            typer.echo(f"\n{note}")
        for one in sliced:
            typer.echo(f"\n{_slices_text(one)}")
        if kept:
            typer.echo(f"\n{_robustness_text(kept)}")
        count, difference = largest_difference(classifier.metadata.scores, scores)
        if count:
            typer.echo(
                f"\nThe file claims {count} of these accuracies; they differ by {difference:.2f} points at most."
            )
    if report is not None:
        about = classifier.metadata
        write_report(report, scores, model=classifier.identity, metadata=about, data=data, overwrite=overwrite)
        typer.echo(f"mien: the report is in {one_line(str(report / 'report.html'))}", err=True)


def _records(scores: Sequence[Score], sliced: Sequence[Slices], kept: Sequence[Robustness]) -> list[dict[str, Any]]:
    """Return the figures as plain values; slices and robustness stand with the first score of their labelling."""
    from mien.evaluation.scores import headlines

    tops = [id(score) for score in headlines(scores)]
    records = []
    for score in scores:
        record = score.to_record()
        if id(score) in tops and sliced:
            record["by"] = [one.to_record() for one in sliced if one.labels == score.labels]
        if id(score) in tops and kept:
            record["robustness"] = [one.to_record() for one in kept if one.labels == score.labels]
        records.append(record)
    return records


def _slices_text(of_column: Slices) -> str:
    from mien.cli.columns import in_columns
    from mien.emotions import set_name
    from mien.errors import one_line
    from mien.evaluation.slices import LEAST

    rows = [
        (one_line(one.value), str(one.n), f"{one.accuracy:.2f}", f"{one.interval[0]:.1f} to {one.interval[1]:.1f}")
        for one in of_column.slices
    ]
    title = f"{of_column.labels}, {set_name(of_column.emotions)}, by {one_line(of_column.column)}, one pass"
    table = in_columns((one_line(of_column.column), "n", "accuracy %", "95 % (Wilson)"), rows, right=(1, 2, 3))
    gap = of_column.gap
    if gap is None:
        return f"{title}\n{table}\nNo gap is told: fewer than two values have {LEAST} faces."
    told = "more than chance" if gap.p_within_labels < 0.05 else "not more than chance"
    small = f", of values with {LEAST} faces or more" if any(one.n < LEAST for one in of_column.slices) else ""
    return (
        f"{title}\n{table}\n"
        f"Largest gap{small}: {gap.points:.2f} points, {one_line(gap.best)} over {one_line(gap.worst)}: {told} where "
        f"faces of the same label are exchanged (p = {gap.p_within_labels:.4f}; of any label, p = {gap.p:.4f}; "
        "permutation tests of the largest gap)."
    )


def _robustness_text(kept: Sequence[Robustness]) -> str:
    from mien.cli.columns import in_columns
    from mien.emotions import set_name

    rows = [
        (one.labels, set_name(one.emotions), one.fault, str(one.n), f"{one.accuracy:.2f}", f"{one.fall:.2f}")
        for one in kept
    ]
    return in_columns(("labels", "emotions", "fault", "n", "accuracy %", "fall"), rows, right=(3, 4, 5))
