"""Results as annotated films."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.errors import OutputError
from mien.results import Frame, Result
from mien.sinks.encoding import FORMATS, FilmFile
from mien.sources.folder import FILM_SUFFIXES

FILMS = tuple(FORMATS)
"""The suffixes of the films that are written here."""


def film_name(source: Path) -> Path:
    """Return the name for the annotated copy of `source`: its own, if its format is written here.

    Other films get .mkv added, which holds any sound; animated pictures, which have none, .mp4.
    """
    suffix = source.suffix.lower()
    if suffix in FORMATS:
        return source
    return source.with_name(source.name + (".mkv" if suffix in FILM_SUFFIXES else ".mp4"))


class AnnotatedFilms:
    """Writes each annotated film to the path that was planned for its source, one after the other.

    Every frame stands at its own time, the first at 0. The sound of the original is copied as it is, as far as the
    frames reach. Labels keep their places from frame to frame. Stills are left to the sink for pictures.
    """

    def __init__(
        self,
        targets: Mapping[str, Path],
        originals: Mapping[str, Path | None],
        *,
        stills: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Take the target paths by source.

        Args:
            targets: in one of `FILMS`.
            originals: None where there is no such file; then there is no sound, and times are kept to a 90,000th
                of a second.
            stills: whether a still that comes is left to the sink for pictures; if not, it has no place.
            overwrite: replace films that exist.

        """
        self._targets, self._originals = targets, originals
        self._stills, self._overwrite = stills, overwrite
        self._film: FilmFile | None = None
        self._now: tuple[str, int] | None = None
        self._written: set[Path] = set()

    @property
    def kept(self) -> Sequence[Path]:
        """The films that have been begun and are under their provisional names."""
        partials = (target.with_name(target.name + ".partial") for target in self._written)
        return sorted(path for path in partials if path.exists())

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append an annotated frame; one that could not be read is left out.

        Raises:
            OutputError: the film cannot be written, exists, or its format cannot hold the sound; or it is a still,
                and the target is one film.

        """
        if frame is None or (result.time is None and self._stills):
            return
        if result.time is None:
            target = self._targets[result.source]
            raise OutputError(
                f"{target}: a picture is no film; name a picture, such as {target.stem}.png, or a folder"
            )
        if self._now is None or result.source != self._now[0] or result.frame <= self._now[1]:
            self._finish(complete=True)
            target = self._targets[result.source]
            if os.path.lexists(target) and not self._overwrite and target not in self._written:
                raise OutputError(f"{target}: it exists already; name another output or pass --overwrite")
            self._film = FilmFile(target, self._originals.get(result.source), frame, result.time, self._overwrite)
            self._written.add(target)
        self._now = (result.source, result.frame)
        if self._film is not None:
            try:
                self._film.append(frame.pixels, result)
            except Exception:  # not an interrupt: what came before it is finished by `close`
                film, self._film = self._film, None
                film.give_up()
                raise

    def close(self, *, complete: bool = True) -> None:
        """Finish the film; only where it is complete it takes its final name.

        Raises:
            OutputError: it cannot be written.

        """
        self._finish(complete=complete)

    def _finish(self, *, complete: bool) -> None:
        film, self._film = self._film, None
        if film is None:
            return
        try:
            film.finish(complete=complete)
        except BaseException:
            film.give_up()
            raise
