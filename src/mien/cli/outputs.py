"""The values of --out → sinks; everything that would fail is found before the first picture is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mien.cli.inputs import Input
from mien.cli.interrupts import Interrupted, Interrupts
from mien.emotions import Emotion
from mien.errors import OutputError, UsageError
from mien.sinks import (
    FILMS,
    AnnotatedFilms,
    AnnotatedPictures,
    Crops,
    Csv,
    JsonLines,
    JsonList,
    Parquet,
    Records,
    Sink,
    Veil,
    film_name,
    picture_name,
)
from mien.sources.folder import FILM_SUFFIXES

_NEVER_MOVE = frozenset({".jpg", ".jpeg", ".jfif", ".bmp", ".heic", ".heif", ".hif", ".tif", ".tiff", ".ppm", ".pgm"})
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_RECORDS = (".jsonl", ".json", ".csv", ".parquet")


@contextmanager
def open_outputs(
    outs: Sequence[str],
    inputs: Sequence[Input],
    *,
    emotions: Sequence[Emotion],
    crops: Path | None,
    blur: bool,
    overwrite: bool,
    interrupts: Interrupts,
) -> Iterator[list[Sink]]:
    """Open a sink for each of `outs`, and give their outputs the final names on leaving without an error.

    Those that draw come first: what cannot be drawn as asked is found before any record is written.

    Raises:
        UsageError: an output exists and `overwrite` is off, cannot be made, or makes no sense.
        MissingExtraError: an output needs an optional part.
        Interrupted: the user has interrupted what is done with the sinks.

    """
    if "" in outs:
        raise UsageError("--out is empty: name a file, a folder, or - for standard output")
    if outs.count("-") > 1:
        raise UsageError("--out -: standard output can be asked for once")
    if "-" in outs and sys.stdout is None:
        raise UsageError("standard output is closed: name a file by --out")
    drawn = {out: _Drawn(out, inputs) for out in outs if not _is_records(out)}
    if blur and not drawn:
        raise UsageError("--blur is for annotated pictures and films: name one, or a folder for them, by --out")
    if blur and crops is not None:
        raise UsageError("--crops writes every face as it is, and --blur is to hide them: choose one")
    files = [Path(out) for out in outs if _is_records(out) and out != "-"]
    planned = files + [path for one in drawn.values() for path in one.planned()]
    _refuse_clashes(planned, inputs)
    if folder := next((path for path in files if os.path.isdir(path)), None):
        raise UsageError(f"{folder}: it is a folder; records need a file")
    if not overwrite and (existing := [path for path in planned if os.path.lexists(path)]):
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more}: it exists already; name another output or pass --overwrite")
    partials = (path.with_name(path.name + ".partial") for path in planned)
    if not overwrite and (left := next((path for path in partials if os.path.lexists(path)), None)):
        raise UsageError(f"{left}: left by an interrupted run; move it away or pass --overwrite")
    if crops is not None and not overwrite and os.path.isdir(crops) and any(crops.iterdir()):
        raise UsageError(f"{crops}: there is something in it already; name another folder or pass --overwrite")
    sinks: list[Sink] = []
    try:
        try:
            for out in sorted(outs, key=lambda out: out not in drawn):
                if out in drawn:
                    inner = drawn[out].sinks(overwrite)
                    sinks += [Veil(inner)] if blur else inner
                else:
                    sinks.append(_records(out, emotions, overwrite))
            if crops is not None:
                sinks.append(Crops(crops, _below(crops, inputs, lambda relative: relative)))
        except OutputError as error:
            raise UsageError(str(error)) from error
        yield sinks
    except BaseException as error:  # what there is stays, under its provisional name
        with interrupts.finish():
            _close(sinks, complete=False)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted([path for sink in sinks for path in sink.kept]) from error
        raise
    with interrupts.finish():
        failures = _close(sinks, complete=True)
    if any(isinstance(failure, KeyboardInterrupt) for failure in failures):
        raise Interrupted([path for sink in sinks for path in sink.kept])
    if failures:
        raise failures[0]


def _close(sinks: Sequence[Sink], *, complete: bool) -> list[OutputError | KeyboardInterrupt]:
    """Close all sinks, whatever one of them says; return what they say."""
    failures: list[OutputError | KeyboardInterrupt] = []
    for sink in sinks:
        try:
            sink.close(complete=complete)
        except (OutputError, KeyboardInterrupt) as error:
            failures.append(error)
    return failures


class _Drawn:
    """One value of --out that names annotated pictures and films, and where each would go."""

    def __init__(self, out: str, inputs: Sequence[Input]) -> None:
        suffix, folder = Path(out).suffix.lower(), os.path.isdir(out)
        self._inputs = inputs
        self.pictures: dict[str, Path] = {}
        self.films: dict[str, Path] = {}
        self._likely: list[Path] | None = None
        if not folder and suffix in _PICTURES + FILMS:
            kind = "picture" if suffix in _PICTURES else "film"
            if len(inputs) > 1:
                raise UsageError(
                    f"{out}: one {kind} cannot hold {len(inputs)}; name a folder, such as --out annotated/"
                )
            targets = self.pictures if suffix in _PICTURES else self.films
            targets[inputs[0].name] = Path(out)
        elif suffix and not folder and not out.endswith(("/", os.sep)):
            known = ", ".join(_RECORDS + _PICTURES + FILMS)
            raise UsageError(f"{out}: cannot write {suffix} files; name a folder, or a file in {known}")
        else:
            stills = [one for one in inputs if one.relative.suffix.lower() not in FILM_SUFFIXES]
            moving = [one for one in inputs if one.relative.suffix.lower() not in _NEVER_MOVE]
            _below(Path(out), stills, picture_name)
            _below(Path(out), moving, film_name)
            # which of the two it is, its content says in the end, whatever it is called
            self.pictures = {one.name: Path(out) / picture_name(one.relative) for one in inputs}
            self.films = {one.name: Path(out) / film_name(one.relative) for one in inputs}
            self._likely = [self.pictures[one.name] for one in stills] + [self.films[one.name] for one in moving]

    def planned(self) -> list[Path]:
        """Return the paths that may be written to, as far as names tell pictures and films apart."""
        return [*self.pictures.values(), *self.films.values()] if self._likely is None else self._likely

    def sinks(self, overwrite: bool) -> list[Sink]:
        """Return what writes them."""
        sinks: list[Sink] = []
        if self.pictures:
            sinks.append(AnnotatedPictures(self.pictures, films=bool(self.films)))
        if self.films:
            originals = {one.name: one.source if isinstance(one.source, Path) else None for one in self._inputs}
            sinks.append(AnnotatedFilms(self.films, originals, stills=bool(self.pictures), overwrite=overwrite))
        return sinks


def _records(out: str, emotions: Sequence[Emotion], overwrite: bool) -> Sink:
    if out == "-":
        return Records(sys.stdout, JsonLines())
    suffix = Path(out).suffix.lower()
    if suffix == ".parquet":
        return Parquet(Path(out), emotions, overwrite=overwrite)
    form = Csv(emotions) if suffix == ".csv" else JsonList() if suffix == ".json" else JsonLines()
    return Records(Path(out), form, overwrite=overwrite)


def _is_records(out: str) -> bool:
    return out == "-" or Path(out).suffix.lower() in _RECORDS


def _below(folder: Path, inputs: Sequence[Input], naming: Callable[[Path], Path]) -> dict[str, Path]:
    """Return by input the path below `folder` that `naming` makes of its place, checked to be all different."""
    names: dict[str, Path] = {}
    sources: dict[Path, str] = {}
    for one in inputs:
        name = naming(one.relative)
        if (other := sources.get(name)) and other != one.name:
            raise UsageError(
                f"{folder / name}: both {other} and {one.name} would go there; name the folder that holds both"
            )
        sources[name] = one.name
        names[one.name] = name
    return names


def _refuse_clashes(planned: Sequence[Path], inputs: Sequence[Input]) -> None:
    """Refuse to write one file twice, or over what is read, whatever --overwrite says."""
    read = {os.path.realpath(one.source) for one in inputs if isinstance(one.source, Path)}
    seen = set()
    for path in planned:
        real = os.path.realpath(path)
        if real in read:
            raise UsageError(f"{path}: it is one of the pictures or films to analyse; name another output")
        if real in seen:
            raise UsageError(f"{path}: two outputs would go there")
        seen.add(real)
