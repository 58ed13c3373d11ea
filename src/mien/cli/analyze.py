"""`mien analyze`: the emotions on every face of pictures, films and folders."""

from __future__ import annotations

import math
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import options
from mien.cli.messages import say

if TYPE_CHECKING:
    from mien.results import Result
    from mien.sources import Media


def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Pictures, films, folders of them, - for one picture on standard input, a camera (camera:0), or "
            "the URL of a stream (rtsp://…, http://…).",
        ),
    ],
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where results go; may be given several times. NAME.jsonl, .json, .csv or .parquet: records (- is "
            "JSON Lines on standard output). NAME.png, .jpg or .webp: the annotated picture. NAME.mp4, .mov or .mkv: "
            "the annotated film, with its sound. A folder: all annotated pictures and films, in the tree they came "
            "in.",
        ),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every face to this folder, framed as the model sees it."),
    ] = None,
    blur: Annotated[
        bool,
        typer.Option("--blur", help="Blur the faces in annotated pictures and films; the numbers stay as they are."),
    ] = False,
    emotions: options.Emotions = None,
    model: options.Model = "embedded",
    rater: options.Rater = None,
    flip: options.Flip = False,
    detector: options.FaceDetector = "mtcnn",
    min_face: options.MinFace = None,
    max_pixels: options.MaxPixels = 50.0,
    start: options.Start = "0",
    end: options.End = None,
    fps: options.Fps = None,
    every: options.Every = 1,
    detect_every: options.DetectEvery = 0.4,
    smooth: options.Smooth = 0.4,
    no_smooth: options.NoSmooth = False,
    summary: options.Summary = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look in the folders' folders too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table and no progress bar: only outputs and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error what is used and how long each takes.")
    ] = False,
) -> None:
    """Read the expression on every face of pictures and films.

    On a terminal the faces of pictures are shown in a table, and the people of films with how long each emotion
    was seen; in a pipe, without --out or --crops, records go to standard output.
    Ctrl-C ends a run: what is done is kept in NAME.partial, and a recording from a camera is then complete.
    The exit status is 0 when all went well, also where nobody is in a picture; 1 when an input failed
    (the rest is done); 2 when nothing could be started.
    """
    from mien.analyzer import Analyzer
    from mien.cli.inputs import list_inputs
    from mien.cli.interrupts import Interrupted, Interrupts
    from mien.cli.outputs import open_outputs
    from mien.cli.progress import Progress
    from mien.cli.summary import print_summary
    from mien.cli.table import result_table
    from mien.errors import UsageError
    from mien.sources import Selection
    from mien.timeline import Summary

    if not 0 < max_pixels < math.inf:
        raise UsageError("--max-pixels is a number of million pixels above 0")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other: choose one")
    selection = Selection(
        start=options.seconds("--start", start),
        end=None if end is None else options.seconds("--end", end),
        fps=fps,
        every=every,
    )
    inputs, failures = list_inputs(
        sources, recursive=recursive, outs=[*(out or []), *([str(crops)] if crops else [])]
    )
    for failure in failures:
        typer.echo(f"mien: {failure}", err=True)  # on one line already, as every SourceError
    if not inputs:
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
    failed, live = bool(failures), False
    stills: list[Result] = []
    people = Summary()
    interrupts = Interrupts()
    outputs = open_outputs(
        wanted,
        inputs,
        emotions=analyzer.emotions,
        crops=crops,
        blur=blur,
        overwrite=overwrite,
        interrupts=interrupts,
    )
    progress = Progress(len(inputs), selection, shown=not (quiet or verbose))

    def opened(media: Media) -> None:
        nonlocal live
        live = media.live
        progress.open(media)

    try:
        with interrupts, outputs as sinks, progress:
            stream = analyzer.stream_media(
                ((one.name, one.source) for one in inputs),
                selection=selection,
                smooth=None if no_smooth else smooth,
                detect_every=detect_every,
                opened=opened,
            )
            began = time.perf_counter()
            try:
                with closing(stream):
                    for frame, result in stream:
                        with interrupts.pause():
                            if verbose:
                                _say(result, 1000.0 * (time.perf_counter() - began))
                            for sink in sinks:
                                sink.write(result, frame)
                            if result.error is not None:
                                failed = True
                                say(result.error)
                            people.add(result)
                            if table and (result.time is None or result.error is not None):
                                stills.append(result)
                            progress.add(result)
                        began = time.perf_counter()
            except KeyboardInterrupt:
                if not live:  # what has no end of its own is whole when somebody ends it
                    raise
                say("stopped")
    except Interrupted as interrupted:
        where = f"; what is done so far is in {', '.join(map(str, interrupted.kept))}" if interrupted.kept else ""
        say(f"interrupted{where}")
        raise typer.Exit(130) from None
    if stills:
        result_table(stills)
    if summary or (table and people.films()):
        print_summary(people, file=sys.stderr if "-" in wanted else sys.stdout)
    if failed:
        raise typer.Exit(1)


def _say(result: Result, milliseconds: float) -> None:
    from mien.errors import one_line

    at = "" if result.time is None else f", frame {result.frame} at {result.time:.3f} s"
    found = "not read" if result.error is not None else f"{len(result.faces)} face{'s' * (len(result.faces) != 1)}"
    say(f"{one_line(result.source)}{at}: {found}, {milliseconds:.0f} ms")
