"""`mien watch`: what a camera or a stream shows, as it comes."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import options
from mien.cli.messages import say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mien.results import Result

_PACE = 30  # frames over which the speed is averaged
_EVERY = 1.0  # seconds between two lines where there is no terminal


def watch(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A camera (camera:0), the URL of a stream (rtsp://…), or a film."),
    ] = "camera:0",
    emotions: options.Emotions = None,
    model: options.Model = "embedded",
    rater: options.Rater = None,
    flip: options.Flip = False,
    detector: options.FaceDetector = "mtcnn",
    min_face: options.MinFace = None,
    device: options.Device = "cpu",
    detect_every: options.DetectEvery = 0.4,
    smooth: options.Smooth = 0.4,
    no_smooth: options.NoSmooth = False,
) -> None:
    """Show the expressions before a camera, live in the terminal.

    Ctrl-C ends it. The latest frame is shown: those that come while one is analysed are passed over. In a pipe, a
    line a second is written for each person. To keep what is seen, analyse the camera instead, as in the last
    example.

    The exit status is 1 when the camera is not there or goes away.

    Examples:
        mien watch camera:0
        mien watch talk.mp4 --emotions five
        mien analyze camera:0 --out seen.jsonl --out seen.mp4
    """
    from rich.console import Console
    from rich.live import Live

    from mien.analyzer import Analyzer
    from mien.errors import UsageError

    if os.path.isdir(source):
        raise UsageError(f"{source}: a folder cannot be watched; analyse it: mien analyze {source}")
    analyzer = Analyzer(
        model=model,
        detector=detector,
        emotions=emotions,
        rater=rater,
        flip=flip,
        min_face=min_face,
        device=device,
    )
    console = Console()
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    stream = analyzer.stream(source, smooth=None if no_smooth else smooth, detect_every=detect_every)
    pace: deque[float] = deque(maxlen=_PACE)
    told = -_EVERY
    error: str | None = None
    try:
        with closing(stream), live or nullcontext():
            for result in stream:
                if result.error is not None:
                    error = result.error
                    break
                now = time.perf_counter()
                pace.append(now)
                speed = (len(pace) - 1) / (now - pace[0]) if len(pace) > 1 else 0.0
                if live is not None:
                    live.update(_screen(result, speed, console.width), refresh=True)
                elif now - told >= _EVERY:
                    told = now
                    _tell(result)
    except KeyboardInterrupt:
        say("stopped")
    if error is not None:
        say(error)
        raise typer.Exit(1)


def _screen(result: Result, speed: float, width: int) -> RenderableType:
    """Return what the terminal shows of a frame."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mien.cli.table import columns_for, face_cells
    from mien.errors import one_line

    at = "" if result.time is None else f"  {result.time:.1f} s"
    size = "" if result.width is None else f"  {result.width}x{result.height}"
    head = Text(f"{one_line(result.source)}{at}{size}  {speed:.0f} frames a second", style="dim", no_wrap=True)
    if not result.faces:
        return Group(head, Text("nobody"))
    table = Table(box=None, pad_edge=False, show_header=False)
    people = sorted(result.faces, key=lambda face: face.track or 0)
    for face in people:
        name = "face" if face.track is None else f"person {face.track}"
        table.add_row(name, *face_cells(face)[: columns_for(width)])
    return Group(head, table)


def _tell(result: Result) -> None:
    at = "" if result.time is None else f"{result.time:.1f} s  "
    if not result.faces:
        typer.echo(f"{at}nobody")
    for face in sorted(result.faces, key=lambda face: face.track or 0):
        who = "face" if face.track is None else f"person {face.track}"
        typer.echo(f"{at}{who}  {face.emotion}  {face.confidence:.0%}")
