"""What several verbs ask for, said once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

from mien.cli import completion

READING = "How faces are read"
MANY = "Many inputs"
_TIME = re.compile(r"(([0-9]+:)?[0-9]+:)?([0-9]+(\.[0-9]*)?|\.[0-9]+)")

Emotions = Annotated[
    Literal["three", "five", "seven", "eight"] | None,
    typer.Option(
        rich_help_panel=READING,
        help="Choose within this set of emotions; one without neutral forces a choice. Default: all that the model "
        "knows.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        rich_help_panel=READING,
        autocompletion=completion.classifiers,
        help="A model by name, or an .onnx file made by `mien export`.",
    ),
]
Rater = Annotated[
    str | None,
    typer.Option(
        metavar="OUTPUT",
        rich_help_panel=READING,
        autocompletion=completion.raters,
        help="Whose answers to imitate: an output of the model. embedded has votes (what most people would name; the "
        "default) and fer2013 (that data set's labels).",
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        rich_help_panel=READING,
        help="Average with the mirrored face: a little more accurate, half as fast.",
    ),
]
DetectorName = Literal["mtcnn", "yunet", "none"]
DETECTOR = (
    "How faces are found. yunet is faster, once `mien models pull yunet` has fetched it; none takes every picture "
    "for a face."
)
FaceDetector = Annotated[DetectorName, typer.Option(rich_help_panel=READING, help=DETECTOR)]
DeviceName = Literal["auto", "cpu", "cuda", "coreml", "directml", "openvino"]
DEVICE = "What to compute on; auto is the best that works here. `mien doctor` says what there is."
Device = Annotated[DeviceName, typer.Option(rich_help_panel=READING, help=DEVICE)]
MinFace = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        rich_help_panel=READING,
        help="Side of the smallest face to look for. Default: 24.",
    ),
]
MaxPixels = Annotated[
    float,
    typer.Option(
        metavar="MILLIONS", rich_help_panel=READING, help="Refuse pictures of more than this many million pixels."
    ),
]

_CLUSTER = "Many cores and machines"

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        rich_help_panel=_CLUSTER,
        help="ray shares the work out to all cores of this machine or of a cluster. --out is then a folder of "
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
Listed = Annotated[
    str | None,
    typer.Option(
        "--list",
        metavar="FILE",
        rich_help_panel=MANY,
        help="Also analyse the pictures, films and folders that this file names, one a line; - is standard input. It "
        "may have millions of lines, or names that end with a null character, as from `find -print0`.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=MANY,
        help="Share the inputs out to N processes; records still come in the order of the inputs. Default: from 100 "
        "pictures on one for each core, up to 8; below that, none but this one.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        rich_help_panel=MANY,
        help="Go on where a run with the same options was ended or killed; where there was none, begin. For Parquet, "
        "give it from the first run on: the file is then written at the end.",
    ),
]

_FILMS = "Films"

Start = Annotated[
    str,
    typer.Option(metavar="TIME", rich_help_panel=_FILMS, help="Begin there: in seconds, or as in 1:30 or 1:02:03.5."),
]
End = Annotated[str | None, typer.Option(metavar="TIME", rich_help_panel=_FILMS, help="End before that time.")]
Fps = Annotated[
    float | None, typer.Option(rich_help_panel=_FILMS, metavar="N", help="Look at no more than N frames a second.")
]
Every = Annotated[int, typer.Option(metavar="N", rich_help_panel=_FILMS, help="Look at every Nth frame.")]
DetectEvery = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=_FILMS,
        help="Search whole frames for faces this often, 0 (every frame) to 0.5, and sooner when something changes; "
        "in between, known faces are followed.",
    ),
]
Smooth = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=_FILMS,
        help="Smooth each person's scores over time, by a mean with this half-life. Records have the raw scores too.",
    ),
]
NoSmooth = Annotated[bool, typer.Option("--no-smooth", rich_help_panel=_FILMS, help="Do not smooth the scores.")]
Summary = Annotated[
    bool, typer.Option("--summary", rich_help_panel=_FILMS, help="Print how long each person showed each emotion.")
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
