"""What several verbs ask for, said once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

_TIME = re.compile(r"(([0-9]+:)?[0-9]+:)?([0-9]+(\.[0-9]*)?|\.[0-9]+)")

Emotions = Annotated[
    Literal["three", "five", "seven", "eight"] | None,
    typer.Option(help="Renormalise over a set; those without neutral force a choice. Default: all the model knows."),
]
Model = Annotated[str, typer.Option(help="A model by name, or an .onnx file made by `mien export`.")]
Rater = Annotated[
    str | None,
    typer.Option(
        metavar="OUTPUT",
        help="Whom the answer imitates: an output of the model. embedded has votes (what most people would "
        "name; the default) and fer2013 (that data set's labels).",
    ),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the mirrored face: a little more accurate, half as fast.")
]
DetectorName = Literal["mtcnn", "yunet", "none"]
DETECTOR = (
    "How faces are found. yunet is faster, once `mien models pull yunet` has fetched it; none: every picture is a "
    "face already."
)
FaceDetector = Annotated[DetectorName, typer.Option(help=DETECTOR)]
DeviceName = Literal["auto", "cpu", "cuda", "coreml", "directml", "openvino"]
DEVICE = "What to compute on; auto is the best that works here. `mien doctor` tells what is there."
Device = Annotated[DeviceName, typer.Option(help=DEVICE)]
MinFace = Annotated[float | None, typer.Option(help="Side of the smallest face to look for, in pixels. Default: 24.")]
MaxPixels = Annotated[float, typer.Option(help="Refuse pictures of more than so many million pixels.")]

_CLUSTER = "Many cores and machines"

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        rich_help_panel=_CLUSTER,
        help="ray: share the work out to all cores of this machine or of a cluster; --out is then a folder of "
        "Parquet files, and the same command again does what is missing.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_CLUSTER,
        help="The Ray cluster to work on, such as 10.0.0.1:6379, or auto. Default: one is started here.",
    ),
]
_BULK = "Many inputs"

Listed = Annotated[
    str | None,
    typer.Option(
        "--list",
        metavar="FILE",
        rich_help_panel=_BULK,
        help="Analyse the pictures, films and folders that a file names, a line each, too; - is standard input. It "
        "is read as it is needed, also where it has millions of lines; names that end with a null character, as from "
        "find -print0, may hold line ends.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_BULK,
        help="Share the inputs out to so many processes, which also draw; records come in the order of the inputs "
        "all the same. Default: one for each core, up to 8, from 100 pictures on, and otherwise this one alone.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=_BULK,
        help="Go on where a run with the same options was ended or killed; where there was none, begin. Parquet is "
        "then written at the end, and can be gone on with only where --resume was there from the beginning.",
    ),
]

_FILMS = "Films"

Start = Annotated[
    str,
    typer.Option(metavar="TIME", rich_help_panel=_FILMS, help="Begin there: seconds, or as in 1:30 and 1:02:03.5."),
]
End = Annotated[str | None, typer.Option(metavar="TIME", rich_help_panel=_FILMS, help="End before that time.")]
Fps = Annotated[
    float | None, typer.Option(rich_help_panel=_FILMS, help="Look at no more than so many frames a second.")
]
Every = Annotated[int, typer.Option(rich_help_panel=_FILMS, help="Look at each n-th frame.")]
DetectEvery = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=_FILMS,
        help="Search whole frames for faces that often, 0 to 0.5, and sooner when something changes; between, "
        "known faces are followed. 0 is every frame.",
    ),
]
Smooth = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=_FILMS,
        help="Half-life of the mean over each person's scores. The raw scores stand beside it in the records.",
    ),
]
NoSmooth = Annotated[bool, typer.Option("--no-smooth", rich_help_panel=_FILMS, help="Leave the scores as they are.")]
Summary = Annotated[
    bool, typer.Option("--summary", rich_help_panel=_FILMS, help="Print the seconds of each emotion of each person.")
]


def seconds(option: str, text: str) -> float:
    """Return a time given as 90, 1:30 or 0:01:30.0, in seconds.

    Raises:
        UsageError: it is none; the message names the option.

    """
    from mien.errors import UsageError

    parts = [float(part) for part in text.split(":")] if _TIME.fullmatch(text) else []
    if not parts or max(parts[1:], default=0.0) >= 60.0:
        raise UsageError(f"{option} {text}: a time is seconds, or minutes and hours before them as in 1:30")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total
