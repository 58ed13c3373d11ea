"""Names that a file takes only when it is whole: until then it is NAME.partial."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError


class Partial:
    """The provisional name of an output, in a folder that is there."""

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        """Make the folder; what an interrupted run has left under the provisional name stays without `overwrite`.

        Raises:
            OutputError: there is such a left-over, or the folder cannot be made.

        """
        self.final, self.path = final, final.with_name(final.name + ".partial")
        if self.path.exists() and not overwrite:
            raise OutputError(f"{self.path}: left by an interrupted run; move it away or pass --overwrite")
        with writing(final):
            final.parent.mkdir(parents=True, exist_ok=True)

    def promote(self) -> None:
        """Give the file its final name.

        Raises:
            OutputError: it cannot take it.

        """
        with writing(self.final):
            self.path.replace(self.final)

    def discard(self) -> None:
        """Remove the file where it is there.

        Raises:
            OutputError: it cannot be removed.

        """
        with writing(self.final):
            self.path.unlink(missing_ok=True)


@contextmanager
def whole_file(final: Path, *, partial: Path | None = None) -> Iterator[Path]:
    """Give a provisional name to write to: what is there takes its name when the context ends without an error.

    Otherwise it is removed, and what had the name before keeps it.

    Args:
        final: the name; the folder is made.
        partial: the provisional one, in the same folder; NAME.partial where it is not given.

    Raises:
        OutputError: it cannot be written.

    """
    partial = partial or final.with_name(final.name + ".partial")
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


def write_whole(final: Path, content: bytes, *, partial: Path | None = None) -> None:
    """Write a file which, once it has its name, is whole after a power cut too.

    Args:
        final: its name; the folder is made.
        content: of the file.
        partial: as for `whole_file`.

    Raises:
        OutputError: it cannot be written.

    """
    with whole_file(final, partial=partial) as path, path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(name: object, kept: str = "") -> Iterator[None]:
    """Say of what goes wrong with an output which one it is, and add what is `kept` of it.

    Raises:
        OutputError: something does. A reader that has gone away is not told of it, and goes through.

    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{name}: cannot be written ({error.strerror or error}){kept}") from error
