"""What the user named → what to analyse, each with its place in the tree it came in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import SourceError, UsageError
from mien.sources import find_pictures, is_stream, read_pipe
from mien.sources.naming import without_password


@dataclass(frozen=True, slots=True)
class Input:
    """Something to analyse.

    Attributes:
        name: what results call it.
        source: its path, its content where it came on standard input, or the name of a camera or stream.
        relative: its path below the folder that the user named, its file name, or a name for what is made of it.

    """

    name: str
    source: Path | bytes | str
    relative: Path


def list_inputs(
    sources: Sequence[str], *, recursive: bool, outs: Sequence[str] = ()
) -> tuple[list[Input], list[SourceError]]:
    """Return the pictures, films and streams that `sources` name, and what was wrong with the folders among them.

    What lies in one of the output folders `outs` is not looked at: it was made from the others.

    A path that is not there is listed all the same: it fails when its turn comes, as any bad file does.

    Raises:
        SourceError: more comes on standard input than a picture holds.
        UsageError: standard input is named twice, or is a terminal.

    """
    made = [os.path.realpath(out) + os.sep for out in outs if os.path.isdir(out)]
    if list(sources).count("-") > 1:
        raise UsageError("standard input (-) holds one picture: name it once")
    inputs, failures = [], []
    for source in sources:
        if source == "-":
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError(
                    "- reads a picture from standard input: pipe one in, such as mien analyze - < photo.jpg"
                )
            inputs.append(Input("-", read_pipe(sys.stdin.buffer, "-"), Path("stdin.png")))
        elif is_stream(source):
            name = without_password(source)
            inputs.append(Input(name, source, Path(re.sub(r"[^\w.-]+", "-", name).strip("-.") or "stream")))
        elif os.path.isdir(source):
            try:
                found = find_pictures(Path(source), recursive=recursive)
            except SourceError as error:
                failures.append(error)
            else:
                whole = os.path.realpath(source) + os.sep
                inner = tuple(folder for folder in made if folder.startswith(whole) and folder != whole)
                found = [path for path in found if not os.path.realpath(path).startswith(inner)]
                inputs += [Input(str(path), path, path.relative_to(source)) for path in found]
        else:
            inputs.append(Input(source, Path(source), Path(Path(source).name)))
    return inputs, failures
