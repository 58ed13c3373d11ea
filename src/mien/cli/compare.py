"""`mien compare`: models side by side, on labelled faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import completion
from mien.cli.options import Emotions, Flip, Rater

if TYPE_CHECKING:
    from mien.evaluation.comparison import Comparison

_CHANGES = 3


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            autocompletion=completion.classifiers,
            help="Two or more models by name, or .onnx files; the others are held against the first.",
        ),
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Labelled faces, such as `mien data` makes.")],
    split: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="The split to measure on. Default: private_test, or else test."),
    ] = None,
    flip: Flip = False,
    rater: Rater = None,
    emotions: Emotions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON and nothing else.")] = False,
) -> None:
    """Compare models on the same faces, and say whether they differ.

    It prints accuracy, macro-F1, calibration, speed and size of each. Each is held against the first: by how much it
    is more often right, with the paired interval of 95%, and how likely a difference as large is between equals
    (exact test of McNemar). Choose models on another split than the one you report.

    Examples:
        mien compare embedded mine.onnx --data data/fer
        mien compare embedded mine.onnx --data data/fer --split public_test --json
    """
    import json

    from mien.classifier import open_classifier
    from mien.datasets.labelled import read_labelled_faces
    from mien.errors import one_line
    from mien.evaluation.comparison import compare as measure
    from mien.evaluation.scores import default_split
    from mien.models.store import read_model

    opened = [(open_classifier(model), len(read_model(model).content)) for model in models]
    faces = read_labelled_faces(data)
    chosen = split or default_split(faces)
    found = measure(opened, faces, split=chosen, flip=flip, rater=rater, emotions=emotions)
    if as_json:
        typer.echo(json.dumps(found.to_record(), indent=1))
    else:
        typer.echo(f"{one_line(str(data))}, split {one_line(chosen)}\n\n{_text(found)}")


def _text(found: Comparison) -> str:
    from mien.cli.columns import in_columns
    from mien.emotions import set_name

    left_out = f", {found.left_out} others do not count" if found.left_out else ""
    parts = [
        f"{found.n} faces of {found.labels}, {set_name(found.emotions)}{', flip' if found.flip else ''}{left_out}",
        in_columns(
            ("model", "output", "accuracy %", "macro-F1 %", "ECE", "ms a face", "MB"),
            [
                (
                    one.model,
                    one.output,
                    f"{one.accuracy:.2f} ({one.interval[0]:.1f} to {one.interval[1]:.1f})",
                    f"{one.macro_f1:.2f}",
                    f"{one.ece:.3f}",
                    f"{one.milliseconds:.2f}",
                    f"{one.megabytes:.2f}",
                )
                for one in found.contenders
            ],
            right=range(2, 7),
        ),
    ]
    first = found.contenders[0].model
    for pair in found.pairs:
        changes = ", ".join(f"{emotion} {points:+.1f}" for emotion, points in [*pair.recall.items()][:_CHANGES])
        parts.append(
            f"{pair.model} against {first}: {pair.difference:+.2f} points "
            f"({pair.interval[0]:+.2f} to {pair.interval[1]:+.2f}), McNemar p = {_probability(pair.p)}\n"
            f"  right where the other is wrong: b = {pair.b} ({first}), c = {pair.c} ({pair.model})\n"
            f"  recall changed most: {changes}"
        )
    return "\n\n".join(parts)


def _probability(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"
