"""What the user named → what to analyse, each with its place in the tree it came in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mien.bulk.task import Input
from mien.cli.listing import read_list
from mien.errors import SourceError, UsageError
from mien.sources import is_stream, read_pipe, walk_pictures
from mien.sources.naming import without_password


class Inputs:
    """The pictures, films and streams that are named; folders and lists are read as one goes through them.

    A path that is not there is listed all the same: it fails when its turn comes, as any bad file does.

    Attributes:
        files: none of them is a camera or a stream, or comes on standard input: they can be read again.
        piped: their list comes through a pipe, and can be gone through only once.

    """

    def __init__(
        self, sources: Sequence[str], *, listed: str | None = None, recursive: bool = False, outs: Sequence[str] = ()
    ) -> None:
        """Take what the user named.

        Args:
            sources: pictures, films, folders, cameras, URLs, and - for a picture on standard input.
            listed: a file of more paths, or - for standard input.
            recursive: look in the folders' folders too.
            outs: of the outputs, those that are folders are not looked at: what is there was made from the others.

        Raises:
            SourceError: more comes on standard input than a picture holds.
            UsageError: standard input is named twice, or is a terminal; or nothing is named.

        """
        if not sources and listed is None:
            raise UsageError("name pictures, films or folders, or a file that lists them by --list")
        if [*sources, listed].count("-") > 1:
            raise UsageError("standard input (-) holds one picture, or one list: name it once")
        if "-" in (*sources, listed) and (sys.stdin is None or sys.stdin.isatty()):
            what, how = ("a list", "--list - < list.txt") if listed == "-" else ("a picture", "- < photo.jpg")
            raise UsageError(f"- reads {what} from standard input: pipe one in, such as mien analyze {how}")
        self._sources, self._listed, self._recursive = sources, listed, recursive
        self._made = [os.path.realpath(out) + os.sep for out in outs]
        self._picture = read_pipe(sys.stdin.buffer, "-") if "-" in sources else b""
        self.files = not any(source == "-" or is_stream(source) for source in sources)
        self.piped = listed == "-" or (listed is not None and os.path.exists(listed) and not os.path.isfile(listed))

    def __iter__(self) -> Iterator[Input]:
        return self.each(lambda error: None)

    def each(self, failed: Callable[[SourceError], None]) -> Iterator[Input]:
        """Yield them in their order; `failed` is told what is wrong with folders among them.

        Raises:
            UsageError: the list cannot be read.

        """
        for source in self._sources:
            if source == "-":
                yield Input("-", self._picture, Path("stdin.png"))
            elif is_stream(source):
                name = without_password(source)
                yield Input(name, source, Path(re.sub(r"[^\w.-]+", "-", name).strip("-.") or "stream"))
            else:
                yield from self._of_path(source, Path(Path(source).name), Path(), failed)
        if self._listed is not None:
            for path in read_list(self._listed):
                # in the tree that they are in, since names come again in a long list
                place = Path(*(part for part in Path(path).parts if part not in (Path(path).anchor, os.pardir)))
                yield from self._of_path(path, place, place, failed)

    def _of_path(self, path: str, file: Path, folder: Path, failed: Callable[[SourceError], None]) -> Iterator[Input]:
        """Yield a file, whose place is `file`, or what is in a folder, whose place is `folder`."""
        if not os.path.isdir(path):
            yield Input(path, Path(path), file)
            return
        whole = os.path.realpath(path) + os.sep
        inner = tuple(made for made in self._made if made.startswith(whole) and made != whole)
        try:
            for found in walk_pictures(Path(path), recursive=self._recursive):
                if not (inner and os.path.realpath(found).startswith(inner)):
                    yield Input(str(found), found, folder / found.relative_to(path))
        except SourceError as error:
            failed(error)
