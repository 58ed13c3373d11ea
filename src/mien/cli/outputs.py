"""The values of --out → sinks; everything that would fail is found before the first picture is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mien.cli.inputs import Picture
from mien.errors import OutputError, UsageError
from mien.sinks import AnnotatedPictures, JsonLines, Sink, picture_name

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@contextmanager
def open_outputs(outs: Sequence[str], pictures: Sequence[Picture], *, overwrite: bool) -> Iterator[list[Sink]]:
    """Open a sink for each of `outs`, and give their outputs the final names on leaving without an error.

    Raises:
        UsageError: an output exists and `overwrite` is off, cannot be made, or makes no sense.

    """
    targets = {out: _picture_targets(out, pictures) for out in outs if not _is_records(out)}
    files = [Path(out) for out in outs if _is_records(out) and out != "-"]
    planned = files + [path for paths in targets.values() for path in paths.values()]
    if repeated := next((path for path in planned if planned.count(path) > 1), None) if len(planned) < 1000 else None:
        raise UsageError(f"{repeated}: two outputs would go there")
    _refuse_inputs(planned, pictures)
    if not overwrite and (existing := [path for path in planned if os.path.lexists(path)]):
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more}: it exists already; name another output or pass --overwrite")
    try:
        sinks: list[Sink] = [
            JsonLines(sys.stdout if out == "-" else Path(out))
            if _is_records(out)
            else AnnotatedPictures(targets[out])
            for out in outs
        ]
    except OutputError as error:
        raise UsageError(str(error)) from error
    yield sinks
    for sink in sinks:
        sink.close()


def _is_records(out: str) -> bool:
    return out == "-" or Path(out).suffix.lower() == ".jsonl"


def _picture_targets(out: str, pictures: Sequence[Picture]) -> dict[str, Path]:
    """Return the path of the annotated copy for each picture's name."""
    path, suffix = Path(out), Path(out).suffix.lower()
    if suffix in _PICTURES and not path.is_dir():
        if len(pictures) > 1:
            raise UsageError(
                f"{out}: one picture cannot hold {len(pictures)}; name a folder, such as --out annotated/"
            )
        return {pictures[0].name: path}
    if suffix and not path.is_dir() and not out.endswith(("/", os.sep)):
        raise UsageError(
            f"{out}: cannot write {suffix} files; name a folder, or a file in .jsonl, {', '.join(_PICTURES)}"
        )
    targets: dict[str, Path] = {}
    sources: dict[Path, str] = {}
    for picture in pictures:
        target = path / picture_name(picture.relative)
        if (other := sources.get(target)) and other != picture.name:
            raise UsageError(
                f"{target}: both {other} and {picture.name} would go there; name the folder that holds both"
            )
        sources[target] = picture.name
        targets[picture.name] = target
    return targets


def _refuse_inputs(planned: Sequence[Path], pictures: Sequence[Picture]) -> None:
    """Refuse to write over what is read, whatever --overwrite says."""
    inputs = {picture.source.resolve() for picture in pictures if isinstance(picture.source, Path)}
    for path in planned:
        if path.resolve() in inputs:
            raise UsageError(f"{path}: it is one of the pictures to analyse; name another output")
