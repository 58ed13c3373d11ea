"""Results as annotated pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mien.drawing import annotated_image
from mien.errors import OutputError
from mien.results import Frame, Result
from mien.whole import whole_file

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
    """Write a picture, which takes its name when it is whole, in a folder that is made where it is missing.

    Raises:
        OutputError: it cannot be written.

    """
    content = io.BytesIO()  # where Pillow writes a JPEG to a file itself, it does not notice that the disk is full
    try:
        image.save(content, format=_KEPT[target.suffix.lower()], quality=95)
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: the picture cannot be written ({error})") from error
    with whole_file(target) as partial:
        partial.write_bytes(content.getbuffer())


class AnnotatedPictures:
    """Writes each annotated still to the path that was planned for its source."""

    def __init__(self, targets: Mapping[str, Path], *, films: bool = True) -> None:
        """Take the target paths by source.

        Args:
            targets: of stills.
            films: whether a film that comes is left to the sink for films; if not, it has no place.

        """
        self._targets, self._films = targets, films

    @property
    def kept(self) -> Sequence[Path]:
        """Nothing: every one has its final name already."""
        return ()

    def write(self, result: Result, frame: Frame | None) -> None:
        """Write the annotated picture; a source that could not be read has none.

        Raises:
            OutputError: it cannot be written, or it is a film's and the target is one picture.

        """
        if frame is None or (result.time is not None and self._films):
            return
        target = self._targets[result.source]
        if result.time is not None:
            raise OutputError(
                f"{target}: one picture cannot hold a film; name a film, such as {target.stem}.mp4, or a folder"
            )
        save_picture(annotated_image(frame.pixels, result), target)

    def close(self, *, complete: bool = True) -> None:
        """Every picture has its final name already."""
