"""`mien analyze`: the emotions on every face of pictures, films and folders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import options
from mien.limits import MAX_PIXELS

_RESULTS = "Results"


def analyze(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="A picture, a film, a folder of them, - for one picture on standard input, a camera (camera:0), "
            "or the URL of a stream (rtsp://…, http://…). Several may be given.",
        ),
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            rich_help_panel=_RESULTS,
            help="Where results go; may be given several times. A name in .jsonl, .json, .csv or .parquet: records "
            "(- is JSON Lines on standard output). In .png, .jpg or .webp: the annotated picture. In .mp4, .mov or "
            ".mkv: the annotated film, with its sound. A folder: all annotated pictures and films, in the tree they "
            "came in.",
        ),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_RESULTS,
            help="Write every face to this folder, framed as the model sees it.",
        ),
    ] = None,
    blur: Annotated[
        bool,
        typer.Option(
            "--blur",
            rich_help_panel=_RESULTS,
            help="Blur the faces in annotated pictures and films; the numbers stay as they are.",
        ),
    ] = False,
    emotions: options.Emotions = None,
    model: options.Model = "embedded",
    rater: options.Rater = None,
    flip: options.Flip = False,
    detector: options.FaceDetector = "mtcnn",
    min_face: options.MinFace = None,
    device: options.Device = "cpu",
    max_pixels: options.MaxPixels = MAX_PIXELS / 1e6,
    start: options.Start = "0",
    end: options.End = None,
    fps: options.Fps = None,
    every: options.Every = 1,
    detect_every: options.DetectEvery = 0.4,
    smooth: options.Smooth = 0.4,
    no_smooth: options.NoSmooth = False,
    summary: options.Summary = False,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive", "-r", rich_help_panel=options.MANY, help="Look into folders within folders, too."
        ),
    ] = False,
    listed: options.Listed = None,
    workers: options.Workers = None,
    resume: options.Resume = False,
    engine: options.Engine = "local",
    address: options.Address = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=_RESULTS, help="Replace outputs that exist.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No table and no progress bar: only outputs and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error what is used and how long each takes.")
    ] = False,
) -> None:
    """Read the expression on every face in pictures and films.

    On a terminal the faces of pictures are shown in a table, and of films how long each person showed each emotion.
    In a pipe, without `--out` or `--crops`, records go to standard output, one a picture or frame, as JSON Lines.

    Ctrl-C ends a run. What is done is kept in NAME.partial, and the same command with `--resume` goes on from there.
    A recording from a camera is complete when it is ended so.

    The exit status is 0 when all went well, also where nobody is in a picture; 1 when an input failed and the rest is
    done; 2 when nothing could be started.

    Examples:
        mien analyze photo.jpg
        mien analyze photos/ --recursive --out faces.csv
        mien analyze talk.mp4 --out talk.jsonl --out marked.mp4 --summary
    """
    from mien.bulk.task import Settings
    from mien.cli.analysis import Request, run_analysis
    from mien.errors import UsageError
    from mien.sources import Selection

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
    settings = Settings(
        model=model,
        detector=detector,
        emotions=emotions,
        rater=rater,
        flip=flip,
        min_face=min_face,
        max_pixels=round(max_pixels * 1e6),
        selection=selection,
        smooth=None if no_smooth else smooth,
        detect_every=detect_every,
        device=device,
    )
    if engine == "ray":
        from mien.cli.cluster import analyze_on_ray

        given = {
            "--crops": crops,
            "--blur": blur,
            "--summary": summary,
            "--verbose": verbose,
            "--workers": workers,
            "--device": device != "cpu",
        }
        analyze_on_ray(
            sources or [],
            listed,
            out=out or [],
            address=address,
            settings=settings,
            recursive=recursive,
            overwrite=overwrite,
            quiet=quiet,
            refused=[option for option, value in given.items() if value],
        )
        return
    if address is not None:
        raise UsageError("--address is that of a Ray cluster: it takes --engine ray")
    request = Request(
        sources=sources or [],
        listed=listed,
        recursive=recursive,
        outs=out or [],
        crops=crops,
        blur=blur,
        overwrite=overwrite,
        resume=resume,
        workers=workers,
        summary=summary,
        quiet=quiet,
        verbose=verbose,
        settings=settings,
    )
    if status := run_analysis(request):
        raise typer.Exit(status)
