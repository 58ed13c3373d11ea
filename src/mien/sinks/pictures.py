"""Results as annotated pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from mien.drawing import annotate
from mien.errors import OutputError
from mien.results import Frame, Result

_KEPT = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def picture_name(source: Path) -> Path:
    """Return the name for the annotated copy of `source`: its own, with .png added for formats not written here."""
    return source if source.suffix.lower() in _KEPT else source.with_name(source.name + ".png")


def numbered(name: str, result: Result) -> str:
    """Return `name` with the number of the frame where the result is of a film."""
    return name if result.time is None else f"{name}-{result.frame:06d}"


def check_folder(folder: Path) -> None:
    """Make `folder` and check that it can be written to.

    Raises:
        OutputError: it cannot.

    """
    probe = folder / ".mien.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror or error})") from error


def save_picture(image: Image.Image, target: Path) -> None:
    """Write a picture, which takes its name when it is whole.

    Raises:
        OutputError: it cannot be written.

    """
    partial = target.with_name(target.name + ".partial")
    try:
        image.save(partial, format=_KEPT[target.suffix.lower()], quality=95)
        partial.replace(target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{target}: the picture cannot be written ({reason})") from error
    finally:
        partial.unlink(missing_ok=True)


class AnnotatedPictures:
    """Writes each annotated picture to the path that was planned for its source."""

    def __init__(self, targets: Mapping[str, Path], *, films: bool = True, overwrite: bool = False) -> None:
        """Take the target paths by source.

        Args:
            targets: of stills; the pictures of a film's frames get numbers beside them.
            films: whether a film may come, or its frames have no place.
            overwrite: replace pictures of frames that exist.

        Raises:
            OutputError: a folder of theirs cannot be made or written to.

        """
        self._targets, self._films, self._overwrite = targets, films, overwrite
        for folder in {target.parent for target in targets.values()}:
            check_folder(folder)

    def write(self, result: Result, frame: Frame | None) -> None:
        """Write the annotated picture; a source that could not be read has none."""
        if frame is None:
            return
        target = self._targets[result.source]
        if result.time is not None:
            if not self._films:
                raise OutputError(f"{target}: one picture cannot hold a film; name a folder")
            # the film's own name with its suffix: no still that lies beside it has the same
            target = target.with_name(f"{numbered(Path(result.source).name, result)}.png")
            if not self._overwrite and os.path.lexists(target):
                raise OutputError(f"{target}: it exists already; name another folder or pass --overwrite")
        save_picture(Image.fromarray(annotate(frame.pixels, result)), target)

    def close(self, *, complete: bool = True) -> None:
        """Every picture has its final name already."""
