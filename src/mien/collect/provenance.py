"""The lines of provenance while a run is at work: each as soon as its picture is there, and in order at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.collect.collection import PROVENANCE, Collected, as_lines
from mien.collect.pictures import remove_pictures
from mien.whole import write_whole


class Provenance:
    """What stands in the file, one line for each picture of each label."""

    def __init__(self, folder: Path, lines: Sequence[Collected]) -> None:
        """Begin with `lines`, in place of what is there.

        Raises:
            OSError: it cannot be written.

        """
        self._folder = folder
        write_whole(folder / PROVENANCE, as_lines(lines))
        self._told = {(line.sha256, line.label) for line in lines}
        self._file = (folder / PROVENANCE).open("ab")

    def __len__(self) -> int:
        return len(self._told)

    def add(self, line: Collected) -> None:
        """Write the line of a picture, where that has none under its label."""
        if (line.sha256, line.label) not in self._told:
            self._told.add((line.sha256, line.label))
            self._file.write(as_lines([line]))
            self._file.flush()

    def close(self, lines: Sequence[Collected]) -> None:
        """Put `lines` in the place of all, in their order, and remove the pictures that have none."""
        try:
            self._file.close()
        finally:
            write_whole(self._folder / PROVENANCE, as_lines(lines))
        listed = {line.sha256 for line in lines}
        remove_pictures(self._folder, lambda sha256: sha256 not in listed)
