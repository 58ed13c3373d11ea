"""`mien bench`: how fast mien is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli import options


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Pictures and films to measure on. Default: scenes with 1, 6 and 30 faces, and films with 1 and 6.",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="A model by name, or an .onnx file.")] = "embedded",
    runs: Annotated[int, typer.Option(min=1, help="Runs of each, of which the median counts; of films five.")] = 20,
    memory: Annotated[
        bool, typer.Option("--memory", help="Also that of films of 1 and 10 minutes, 1280x720; takes some minutes.")
    ] = False,
    device: options.Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Measure the speed of detection, classification, whole pictures and films, the cold start and the memory.

    Medians after a first run that does not count. Leave the machine alone meanwhile.
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
