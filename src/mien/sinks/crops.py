"""Faces as pictures of their own: each as the model saw it, but in colour and at its own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mien.align import SquareFrame, crop_square
from mien.results import Frame, Result
from mien.sinks.pictures import numbered, save_picture

LARGEST = 512
"""Bound in pixels on the side of a crop."""


class Crops:
    """Writes `<picture>-<number>.png` for every face, numbered from 1 in the order of the record.

    Of a film, the number of the frame stands before that of the face.
    """

    def __init__(self, folder: Path, names: Mapping[str, Path], *, keep: bool = False) -> None:
        """Take the folder to write to and, by source, the name of each picture below it.

        Args:
            folder: is made where it is missing.
            names: may lie in folders of their own.
            keep: leave those that are there as they are.

        """
        self._folder, self._names, self._keep = folder, names, keep

    @property
    def kept(self) -> Sequence[Path]:
        """Nothing: every one has its final name already."""
        return ()

    def write(self, result: Result, frame: Frame | None) -> None:
        """Write the faces of one result."""
        if frame is None:
            return
        name = self._names[result.source]
        for number, face in enumerate(result.faces, start=1):
            if face.square is None:
                continue
            square = SquareFrame(*face.square)
            side = max(1, min(LARGEST, round(square.side)))
            target = self._folder / name.parent / f"{numbered(name.name, result)}-{number}.png"
            if self._keep and target.exists():
                continue
            save_picture(Image.fromarray(crop_square(frame.pixels, square, size=side)), target)

    def close(self, *, complete: bool = True) -> None:
        """Every crop has its final name already."""
