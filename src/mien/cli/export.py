"""`mien export`: a training run → one .onnx file that describes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.models import Half, Int8


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder; it may still be training.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .onnx file to write.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The labelled faces, where they have moved since training."),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="TERMS", help="On what terms the weights may be used.")
    ] = "not stated",
    last: Annotated[bool, typer.Option("--last", help="Take the last epoch instead of the best.")] = False,
    half: Half = False,
    int8: Int8 = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a training run as a model file, and score it.

    The file takes the best epoch, is compared with torch, and describes itself: labels, temperatures, data, licence
    and scores. The best by a figure is that by chance too: `--last` takes the last epoch, an average of the weights
    of many.

    With `--half` or `--int8` the weights are compressed after that, as `mien models compress` does: the file carries
    the temperatures and scores that it then has, and what it lost is printed.

    Examples:
        mien export runs/mine mine.onnx --licence MIT
        mien export runs/mine small.onnx --int8 --licence MIT
    """
    from mien.cli.train import require_training

    require_training()
    from mien.cli.models import chosen_storage, loss_table
    from mien.emotions import set_name
    from mien.training.export import export_run

    storage = chosen_storage(half=half, int8=int8)
    report = export_run(run, file, data=data, licence=licence, storage=storage, last=last, overwrite=overwrite)
    typer.echo(f"{file}: epoch {report.epoch}, differs from torch by {report.difference:.1e}", err=True)
    if report.compressed is not None:  # what the file carries is that of the compressed network
        typer.echo(loss_table(report.compressed), err=True)
        return
    for name, temperature in report.temperatures.items():
        typer.echo(f"  temperature of {name}: {temperature:.3f}, fitted on {report.validation}", err=True)
    for score in report.scores:
        typer.echo(
            f"  {score.labels}, {set_name(score.emotions)}, {score.split}, one pass: {score.accuracy:.2f}% of "
            f"{score.n}, calibration error {score.reliability.error:.3f}",
            err=True,
        )
