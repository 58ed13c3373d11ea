"""Names of sources and outputs → where they lie: on a disk, or in an object store that pyarrow opens."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from mien.errors import MissingExtraError, SourceError, UsageError
from mien.sources import FileSource, find_pictures, is_stream
from mien.sources.folder import FILM_SUFFIXES, SUFFIXES
from mien.sources.naming import source_error

_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILES_ONLY = "--engine ray takes files and folders; leave it out for this one"
_BUFFER = 4 << 20  # bytes that are fetched at a time


def is_film(name: str) -> bool:
    """Say whether a name is that of a film, by its suffix."""
    return _suffix(name) in FILM_SUFFIXES


def _suffix(name: str) -> str:
    return PurePosixPath(name.partition("?")[0] if _URI.match(name) else name).suffix.lower()


def refuse_streams(sources: Iterable[str]) -> None:
    """Refuse what no cluster can go through.

    Raises:
        UsageError: a camera, a stream or standard input is among `sources`.

    """
    for source in sources:
        if source == "-" or is_stream(source):
            raise UsageError(f"{'standard input' if source == '-' else source}: {_FILES_ONLY}")


def find_sources(sources: Iterable[str], *, recursive: bool, failed: Callable[[SourceError], None]) -> Iterator[str]:
    """Yield the names of the pictures and films that `sources` name, in the order in which one process goes.

    Args:
        sources: files, folders, and such in object stores, as s3://bucket/folder; they are taken one at a time.
        recursive: look in the folders' folders too.
        failed: is told what is wrong with a folder, or with what is neither.

    """
    for source in sources:
        try:
            if is_stream(source):
                raise source_error(source, _FILES_ONLY)
            if _URI.match(source):
                yield from _find_stored(source, recursive=recursive)
            elif os.path.isdir(source):
                yield from map(str, find_pictures(Path(source), recursive=recursive))
            else:
                yield source
        except SourceError as error:
            failed(error)


@contextmanager
def opened(name: str, base: str) -> Iterator[FileSource]:
    """Open what lies in an object store, for as long as the context lasts; a path on a disk is handed on.

    Args:
        name: path or URI.
        base: folder from which a path goes, if it does not from the root.

    Raises:
        SourceError: it cannot be opened.

    """
    if not _URI.match(name):
        yield Path(base, name)
        return
    try:
        filesystem, path = located(name)
        file = io.BufferedReader(filesystem.open_input_file(path), _BUFFER)
    except FileNotFoundError as error:
        raise source_error(name, "there is no such file or folder") from error
    except Exception as error:  # each store has its own
        raise source_error(name, f"cannot be opened ({error})") from error
    with file:
        yield file


def located(name: str) -> tuple[Any, str]:
    """Return pyarrow's filesystem for a path or URI, and the path in it.

    Raises:
        MissingExtraError: pyarrow is not installed.
        UsageError: pyarrow knows no such place.

    """
    if _URI.match(name):
        return _located(name)
    return _module().LocalFileSystem(), os.path.abspath(name)


@lru_cache(maxsize=1024)
def _located(uri: str) -> tuple[Any, str]:
    arrow = import_module("pyarrow.lib")
    try:
        filesystem, path = _module().FileSystem.from_uri(uri)
    except (arrow.ArrowException, ValueError) as error:
        raise UsageError(f"{uri}: {error}") from error
    return _known.setdefault((uri.partition("://")[0], str(type(filesystem)), _place(uri)), filesystem), path


_known: dict[tuple[str, str, str], Any] = {}  # one for all files of a store, with its connections


def _place(uri: str) -> str:
    rest, _, query = uri.partition("://")[2].partition("?")
    return f"{rest.partition('/')[0]}?{query}"


def _module() -> Any:
    try:
        return import_module("pyarrow.fs")  # by its name, so that types are checked alike whether it is there or not
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray") from error


def _find_stored(uri: str, *, recursive: bool) -> list[str]:
    """Return the pictures and films in a folder of an object store, or `uri` itself where it is none."""
    if _suffix(uri) in SUFFIXES | FILM_SUFFIXES:  # to ask of each of a million names takes hours
        return [uri]
    filesystem, path = located(uri)
    fs = _module()
    try:
        if filesystem.get_file_info(path).type != fs.FileType.Directory:
            return [uri]
        entries = filesystem.get_file_info(fs.FileSelector(path, recursive=recursive))
    except OSError as error:
        raise source_error(uri, f"the folder cannot be read ({error})") from error
    found = [PurePosixPath(entry.path).relative_to(path) for entry in entries if entry.type == fs.FileType.File]
    media = [
        one
        for one in found
        if one.suffix.lower() in SUFFIXES | FILM_SUFFIXES and not any(part.startswith(".") for part in one.parts)
    ]
    if not media:
        advice = "" if recursive else "; --recursive looks in its folders too"
        raise source_error(uri, f"no picture or film is in this folder{advice}")
    media.sort(key=lambda one: [*((1, part) for part in one.parts[:-1]), (0, one.name)])  # files before folders
    base, mark, query = uri.partition("?")
    return [f"{base.rstrip('/')}/{one}{mark}{query}" for one in media]
