"""`mien analyze`: the emotions on every face of pictures and folders."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mien.results import Frame, Result


def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Pictures, also animated ones, folders of pictures, or - for one on standard input.",
        ),
    ],
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where results go; may be given several times. NAME.jsonl, .json or .csv: records (- is JSON Lines "
            "on standard output). NAME.png, .jpg or .webp: the annotated picture. A folder: all annotated pictures, "
            "in the tree they came in.",
        ),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every face to this folder, framed as the model sees it."),
    ] = None,
    emotions: Annotated[
        Literal["three", "five", "seven", "eight"] | None,
        typer.Option(
            help="Renormalise over a set; those without neutral force a choice. Default: all the model knows."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="A model by name, or an .onnx file made by `mien export`.")] = "embedded",
    rater: Annotated[
        str | None,
        typer.Option(
            metavar="OUTPUT",
            help="Whom the answer imitates: an output of the model. embedded has votes (what most people would "
            "name; the default) and fer2013 (that data set's labels).",
        ),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirrored face: a little more accurate, half as fast.")
    ] = False,
    detector: Annotated[
        Literal["mtcnn", "none"],
        typer.Option(help="How faces are found; none: every picture is a face already."),
    ] = "mtcnn",
    min_face: Annotated[
        float | None, typer.Option(help="Side of the smallest face to look for, in pixels. Default: 24.")
    ] = None,
    max_pixels: Annotated[float, typer.Option(help="Refuse pictures of more than so many million pixels.")] = 80.0,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look in the folders' folders too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table and no progress bar: only outputs and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error what is used and how long each takes.")
    ] = False,
) -> None:
    """Read the expression on every face of pictures and folders.

    On a terminal the faces are shown in a table; in a pipe, without --out or --crops, records go to standard output.
    The exit status is 0 when all went well, also where nobody is in a picture; 1 when an input failed
    (the rest is done); 2 when nothing could be started.
    """
    from mien.analyzer import Analyzer
    from mien.cli.inputs import list_pictures
    from mien.cli.outputs import open_outputs
    from mien.cli.table import result_table
    from mien.errors import UsageError

    if not 0 < max_pixels < math.inf:
        raise UsageError("--max-pixels is a number of million pixels above 0")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other: choose one")
    pictures, failures = list_pictures(
        sources, recursive=recursive, outs=[*(out or []), *([str(crops)] if crops else [])]
    )
    for failure in failures:
        typer.echo(f"mien: {failure}", err=True)  # on one line already, as every SourceError
    if not pictures:
        raise typer.Exit(1)
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    wanted = out or ([] if on_terminal or crops is not None else ["-"])
    table = on_terminal and not quiet and "-" not in wanted
    analyzer = Analyzer(
        model=model,
        detector=detector,
        emotions=emotions,
        rater=rater,
        flip=flip,
        min_face=min_face,
        max_pixels=round(max_pixels * 1e6),
    )
    if verbose:
        typer.echo(f"mien: {analyzer.model}, faces by {detector}, {', '.join(analyzer.emotions)}", err=True)
    failed = bool(failures)
    shown: list[Result] = []
    try:
        with open_outputs(wanted, pictures, emotions=analyzer.emotions, crops=crops, overwrite=overwrite) as sinks:
            stream = analyzer.stream_pictures((picture.name, picture.source) for picture in pictures)
            started = time.perf_counter()
            for frame, result in stream if quiet or verbose else _with_progress(stream, len(pictures)):
                if verbose:
                    _say(result, 1000.0 * (time.perf_counter() - started))
                for sink in sinks:
                    sink.write(result, frame)
                if result.error is not None:
                    failed = True
                    sys.stderr.write(f"mien: {result.error}\n")  # above the bar, which takes over sys.stderr
                if table:
                    shown.append(result)
                started = time.perf_counter()
    except KeyboardInterrupt:
        kept = [f"{path}.partial" for path in wanted if os.path.exists(f"{path}.partial")]
        where = f"; the records so far are in {', '.join(kept)}" if kept else ""
        sys.stderr.write(f"mien: interrupted{where}\n")
        raise typer.Exit(130) from None
    if shown:
        result_table(shown)
    if failed:
        raise typer.Exit(1)


def _say(result: Result, milliseconds: float) -> None:
    from mien.errors import one_line

    at = "" if result.time is None else f", frame {result.frame} at {result.time:.3f} s"
    found = "not read" if result.error is not None else f"{len(result.faces)} face{'s' * (len(result.faces) != 1)}"
    sys.stderr.write(f"mien: {one_line(result.source)}{at}: {found}, {milliseconds:.0f} ms\n")


def _with_progress(
    stream: Iterable[tuple[Frame | None, Result]], total: int
) -> Iterator[tuple[Frame | None, Result]]:
    """Yield from `stream`, with a progress bar where there is someone to see it and something to wait for."""
    if total < 2 or not sys.stderr.isatty():
        yield from stream
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[faces]} faces"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, faces=0)
        faces, sources = 0, set()
        for frame, result in stream:
            yield frame, result
            faces += len(result.faces)
            sources.add(result.source)  # a film counts once, from its first frame on
            progress.update(task, completed=len(sources), faces=faces)
