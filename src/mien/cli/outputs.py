"""The values of --out → sinks; everything that would fail is found before the first picture is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.cli.inputs import Picture
from mien.emotions import Emotion
from mien.errors import OutputError, UsageError
from mien.sinks import AnnotatedPictures, Crops, Csv, JsonLines, JsonList, Records, Sink, picture_name

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_RECORDS = (".jsonl", ".json", ".csv")


@contextmanager
def open_outputs(
    outs: Sequence[str],
    pictures: Sequence[Picture],
    *,
    emotions: Sequence[Emotion],
    crops: Path | None,
    overwrite: bool,
) -> Iterator[list[Sink]]:
    """Open a sink for each of `outs`, and give their outputs the final names on leaving without an error.

    Raises:
        UsageError: an output exists and `overwrite` is off, cannot be made, or makes no sense.

    """
    if "" in outs:
        raise UsageError("--out is empty: name a file, a folder, or - for standard output")
    if outs.count("-") > 1:
        raise UsageError("--out -: standard output can be asked for once")
    if "-" in outs and sys.stdout is None:
        raise UsageError("standard output is closed: name a file by --out")
    targets = {out: _picture_targets(out, pictures) for out in outs if not _is_records(out)}
    files = [Path(out) for out in outs if _is_records(out) and out != "-"]
    planned = files + [path for paths in targets.values() for path in paths.values()]
    _refuse_clashes(planned, pictures)
    if folder := next((path for path in files if os.path.isdir(path)), None):
        raise UsageError(f"{folder}: it is a folder; records need a file")
    if not overwrite and (existing := [path for path in planned if os.path.lexists(path)]):
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more}: it exists already; name another output or pass --overwrite")
    if crops is not None and not overwrite and os.path.isdir(crops) and any(crops.iterdir()):
        raise UsageError(f"{crops}: there is something in it already; name another folder or pass --overwrite")
    sinks: list[Sink] = []
    try:
        try:
            for out in outs:
                sinks.append(_open(out, targets, emotions, overwrite))  # noqa: PERF401  # those so far count if one fails
            if crops is not None:
                sinks.append(Crops(crops, _below(crops, pictures, lambda relative: relative)))
        except OutputError as error:
            raise UsageError(str(error)) from error
        yield sinks
    except BaseException:  # an interrupt too: what there is stays, under its provisional name
        for sink in sinks:
            with suppress(OutputError):
                sink.close(complete=False)
        raise
    failures = []
    for sink in sinks:
        try:
            sink.close()
        except OutputError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _open(out: str, targets: Mapping[str, Mapping[str, Path]], emotions: Sequence[Emotion], overwrite: bool) -> Sink:
    if out in targets:
        return AnnotatedPictures(targets[out], films=not _is_picture(out), overwrite=overwrite)
    if out == "-":
        return Records(sys.stdout, JsonLines())
    suffix = Path(out).suffix.lower()
    form = Csv(emotions) if suffix == ".csv" else JsonList() if suffix == ".json" else JsonLines()
    return Records(Path(out), form, overwrite=overwrite)


def _is_picture(out: str) -> bool:
    return Path(out).suffix.lower() in _PICTURES and not os.path.isdir(out)


def _is_records(out: str) -> bool:
    return out == "-" or Path(out).suffix.lower() in _RECORDS


def _picture_targets(out: str, pictures: Sequence[Picture]) -> dict[str, Path]:
    """Return the path of the annotated copy for each picture's name."""
    path, suffix = Path(out), Path(out).suffix.lower()
    if _is_picture(out):
        if len(pictures) > 1:
            raise UsageError(
                f"{out}: one picture cannot hold {len(pictures)}; name a folder, such as --out annotated/"
            )
        return {pictures[0].name: path}
    if suffix and not os.path.isdir(path) and not out.endswith(("/", os.sep)):
        raise UsageError(
            f"{out}: cannot write {suffix} files; name a folder, or a file in {', '.join(_RECORDS + _PICTURES)}"
        )
    names = _below(path, pictures, picture_name)
    return {source: path / name for source, name in names.items()}


def _below(folder: Path, pictures: Sequence[Picture], naming: Callable[[Path], Path]) -> dict[str, Path]:
    """Return by picture the path below `folder` that `naming` makes of its place, checked to be all different."""
    names: dict[str, Path] = {}
    sources: dict[Path, str] = {}
    for picture in pictures:
        name = naming(picture.relative)
        if (other := sources.get(name)) and other != picture.name:
            raise UsageError(
                f"{folder / name}: both {other} and {picture.name} would go there; name the folder that holds both"
            )
        sources[name] = picture.name
        names[picture.name] = name
    return names


def _refuse_clashes(planned: Sequence[Path], pictures: Sequence[Picture]) -> None:
    """Refuse to write one file twice, or over what is read, whatever --overwrite says."""
    inputs = {os.path.realpath(picture.source) for picture in pictures if isinstance(picture.source, Path)}
    seen = set()
    for path in planned:
        real = os.path.realpath(path)
        if real in inputs:
            raise UsageError(f"{path}: it is one of the pictures to analyse; name another output")
        if real in seen:
            raise UsageError(f"{path}: two outputs would go there")
        seen.add(real)
