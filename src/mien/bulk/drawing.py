"""Where the annotated copies and the faces of each input go, and what writes them there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mien.bulk.task import Input
from mien.errors import OutputError
from mien.results import Frame, Result
from mien.sinks import FILMS, AnnotatedFilms, AnnotatedPictures, Crops, Sink, Veil, film_name, picture_name
from mien.sources.folder import FILM_SUFFIXES

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of the pictures that are written here."""

_NEVER_MOVE = frozenset({".jpg", ".jpeg", ".jfif", ".bmp", ".heic", ".heif", ".hif", ".tif", ".tiff", ".ppm", ".pgm"})


class Existing(Enum):
    """What to do where a file is already that is to be written."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"
    """As it is: a file has its name only when it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn of every input.

    Attributes:
        outs: a picture or a film each, which is that of the only input, or a folder for the copies of all.
        crops: a folder for the faces, or None.
        blur: hide the faces in annotated pictures and films.
        checked: nobody else's file stands where, by their names, the copies of the inputs go.
        existing: what else happens to what is there.

    """

    outs: tuple[Path, ...] = ()
    crops: Path | None = None
    blur: bool = False
    checked: bool = False
    existing: Existing = Existing.REFUSE

    def __bool__(self) -> bool:
        return bool(self.outs) or self.crops is not None

    def targets(self, one: Input) -> list[Path]:
        """Return the paths that may be written to, as far as names tell pictures and films apart."""
        found: list[Path] = []
        for out in self.outs:
            if is_file(out):
                found.append(out)
                continue
            suffix = one.relative.suffix.lower()
            found += [out / picture_name(one.relative)] if suffix not in FILM_SUFFIXES else []
            found += [out / film_name(one.relative)] if suffix not in _NEVER_MOVE else []
        return found

    def sinks(self, one: Input) -> list[Sink]:
        """Return what writes the copies and faces of one input; close them when it has been dealt with.

        Raises:
            OutputError: one of them exists.

        """
        sinks: list[Sink] = []
        for out in self.outs:
            inner = self._copies(out, one)
            sinks += [Veil(inner)] if self.blur and inner else inner
        if self.crops is not None:
            sinks.append(Crops(self.crops, {one.name: one.relative}, keep=self.existing is Existing.KEEP))
        return sinks

    def _copies(self, out: Path, one: Input) -> list[Sink]:
        film = out if is_film(out) else None if is_file(out) else out / film_name(one.relative)
        picture = None if film == out else out if is_file(out) else out / picture_name(one.relative)
        likely = self.targets(one)
        sinks: list[Sink] = []
        # which of the two it is, its content says in the end, whatever it is called
        if picture is not None and self._wanted(picture, likely):
            sinks.append(AnnotatedPictures({one.name: picture}, films=film is not None))
        if film is not None and self._wanted(film, likely):
            original = one.source if isinstance(one.source, Path) else None
            replace = self.existing is not Existing.REFUSE or (self.checked and film in likely)
            sinks.append(
                AnnotatedFilms({one.name: film}, {one.name: original}, stills=picture is not None, overwrite=replace)
            )
        return sinks

    def _wanted(self, path: Path, likely: Sequence[Path]) -> bool:
        if self.existing is Existing.KEEP:
            return not os.path.lexists(path)
        if self.existing is Existing.REFUSE and not self.checked and path in likely and os.path.lexists(path):
            raise OutputError(f"{path}: it exists already; name another output or pass --overwrite")
        return True


def is_film(out: Path) -> bool:
    """Say whether an output is one annotated film."""
    return is_file(out) and out.suffix.lower() in FILMS


def is_file(out: Path) -> bool:
    """Say whether an output is one file rather than a folder for many."""
    return out.suffix.lower() in (*PICTURES, *FILMS) and not os.path.isdir(out)


class Copies:
    """What is drawn of one input, in the making."""

    def __init__(self, drawing: Drawing, one: Input) -> None:
        self._drawing, self._one = drawing, one
        self._sinks: list[Sink] | None = None

    @property
    def kept(self) -> Sequence[Path]:
        """The files that hold, under provisional names, what was not complete."""
        return [path for sink in self._sinks or () for path in sink.kept]

    def write(self, result: Result, frame: Frame | None) -> None:
        """Draw one result, where its frame is at hand.

        Raises:
            OutputError: it cannot be written.

        """
        if frame is None:
            return
        if self._sinks is None:
            self._sinks = self._drawing.sinks(self._one)
        for sink in self._sinks:
            sink.write(result, frame)

    def close(self, *, complete: bool) -> None:
        """Finish what is drawn; only where it is complete it takes its final name.

        Raises:
            OutputError: one of the files cannot be written; the others are finished all the same.

        """
        failures: list[OutputError] = []
        for sink in self._sinks or ():
            try:
                sink.close(complete=complete)
            except OutputError as error:
                failures.append(error)
        if failures:
            raise failures[0]
