"""`mien bench`: how fast mien is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli import completion, options


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Pictures and films to measure on. Default: scenes with 1, 6 and 30 faces, and films with 1 and 6.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", autocompletion=completion.classifiers, help="A model by name, or an .onnx file."
        ),
    ] = "embedded",
    runs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Run each N times and take the median; films five times.")
    ] = 20,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory", help="Also measure the memory that films of 1 and 10 minutes take; some minutes more."
        ),
    ] = False,
    device: options.Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Measure how fast mien is on this machine.

    That is detection, classification, whole pictures and films, the cold start and the memory: medians after a first
    run that does not count. Leave the machine alone meanwhile; it takes about a minute.

    Examples:
        mien bench
        mien bench photo.jpg --runs 5
    """
    import json
    from dataclasses import asdict

    from mien.evaluation.speed import machine, measure

    about = machine(device=device)
    figures = measure(model=model, files=files or (), runs=runs, memory=memory, device=device)
    if as_json:
        typer.echo(json.dumps({"machine": about, "figures": [asdict(figure) for figure in figures]}, indent=1))
        return
    where = f"{about['processor']}, {about['cores']} cores"
    typer.echo(f"{where}, onnxruntime {about['onnxruntime']} on {about['device']}; medians\n")
    for figure in figures:  # each as soon as it is there
        rate = "" if figure.rate is None else f"{figure.rate:6.0f} a second"
        value, spread = f"{figure.value:7.1f} {figure.unit:3}", f"{figure.least:.1f} to {figure.most:.1f}"
        typer.echo(f"{figure.kind:10}  {figure.what:34}  {value}  {spread:18}  {rate}".rstrip())
