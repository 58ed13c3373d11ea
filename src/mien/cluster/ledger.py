"""What a run is to do and what of it is done, in the folder of its output.

    NAME.parquet/
      part-00000000.parquet      a partition: whole, or not there
      _ledger/settings.json      what decides the answers
      _ledger/00000000.json      the sources of a partition, in order
      _ledger/00000000.done.json how many frames, faces and errors are in it
      _work/00000000/            what is done of a partition that is not whole yet

Readers pass over what begins with an underscore. Everything is written under another name first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.cluster.places import is_film, located
from mien.errors import OutputError, UsageError

_FULL = 4096
"""Pictures of a partition; a film counts for as many as one in `_FILM`."""

_FILM = 512

_PART = re.compile(r"part-(\d{8})\.parquet")
_SOURCES = re.compile(r"(\d{8})\.json")
_PARTIAL = ".partial"
_KNOWN = 65536  # names that are looked up at a time


class Ledger:
    """The folder of an output. A copy in another process, or on another machine, means the same folder.

    Attributes:
        out: its path or URI, as the user gave it.
        base: folder from which paths of sources go.

    """

    def __init__(self, out: str) -> None:
        """Take the folder's path or URI; nothing is read or made yet.

        Raises:
            UsageError: pyarrow knows no such place.

        """
        self.out, self.base = out, os.getcwd()
        self._fs, self._root = located(out)

    def begin(self, settings: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder, or make sure that what is in it was made with the same settings.

        Raises:
            UsageError: it was not, or it is not such a folder.
            OutputError: it cannot be made.

        """
        fs = import_module("pyarrow.fs")
        with self._writing():
            there = self._fs.get_file_info(self._root).type
            if there == fs.FileType.File:
                if not overwrite:
                    raise UsageError(f"{self.out}: it exists already; name another output or pass --overwrite")
                self._fs.delete_file(self._root)
            elif there == fs.FileType.Directory and overwrite:
                self._clear()
            before = self._read("_ledger/settings.json")
            if before is None:
                if {*self._entries("")} - {"_ledger"} or not all(map(_is_left, self._entries("_ledger"))):
                    raise UsageError(
                        f"{self.out}: there is something in it that is not of such a run; name another output"
                    )
                self._fs.create_dir(f"{self._root}/_ledger", recursive=True)
                self._write("_ledger/settings.json", json.dumps(settings, indent=1))
                return
        earlier, now = json.loads(before), json.loads(json.dumps(settings))
        for name in now:
            if earlier.get(name) != now[name]:
                raise UsageError(
                    f"{self.out}: made with {name} {_shown(earlier.get(name))}, and asked for is {_shown(now[name])}"
                    "; name another output or pass --overwrite"
                )

    def add(self, names: Iterable[str]) -> None:
        """Share out what is not in the ledger yet to new partitions; names are taken one at a time.

        Raises:
            OutputError: they cannot be written.

        """
        partitions = self.partitions()
        known = self._digests(partitions)
        number = max(partitions, default=-1) + 1
        group: list[str] = []
        weight = 0
        for name in _unknown(names, known):
            group.append(name)
            weight += _FILM if is_film(name) else 1
            if weight >= _FULL:
                self._add(number, group)
                group, weight, number = [], 0, number + 1
        if group:
            self._add(number, group)

    def partitions(self) -> list[int]:
        """Return the numbers of all partitions."""
        matches = map(_SOURCES.fullmatch, self._entries("_ledger"))
        return sorted(int(match[1]) for match in matches if match)

    def missing(self) -> list[int]:
        """Return the numbers of those that are not whole."""
        matches = map(_PART.fullmatch, self._entries(""))
        return sorted(set(self.partitions()) - {int(match[1]) for match in matches if match})

    def names(self, partition: int) -> list[str]:
        """Return the sources of a partition."""
        text = self._read(f"_ledger/{partition:08}.json")
        return [] if text is None else [str(name) for name in json.loads(text)]

    def counts(self, partition: int) -> dict[str, int]:
        """Return how many frames, faces and errors are in a partition that is whole."""
        text = self._read(f"_ledger/{partition:08}.done.json")
        return {} if text is None else {name: int(count) for name, count in json.loads(text).items()}

    # work on a partition that is not whole yet

    def done(self, partition: int) -> set[str]:
        """Return the keys of its tasks of which the work is done."""
        return {name.removesuffix(".zst") for name in self._entries(f"_work/{partition:08}") if name.endswith(".zst")}

    def whole(self, partition: int) -> set[int]:
        """Return which of its sources have to be analysed as a whole."""
        entries = self._entries(f"_work/{partition:08}")
        return {int(name.removesuffix(".whole")) for name in entries if name.endswith(".whole")}

    def set_whole(self, partition: int, source: int) -> None:
        """Say that one has to be.

        Raises:
            OutputError: it cannot be written.

        """
        with self._writing():
            self._write(f"_work/{partition:08}/{source:06}.whole", "")

    def read_work(self, partition: int, key: str) -> str | None:
        """Return what was written under a key; None where nothing was."""
        return self._read(f"_work/{partition:08}/{key}.zst")

    def write_work(self, partition: int, key: str, text: str) -> None:
        """Keep work, in place of any that was done under the same key.

        Raises:
            OutputError: it cannot be written.

        """
        with self._writing():
            self._write(f"_work/{partition:08}/{key}.zst", text)

    @contextmanager
    def partition(self, partition: int) -> Iterator[tuple[Any, dict[str, int]]]:
        """Open a partition to write it: a binary stream, and the counts to fill in. It is whole in the end.

        Raises:
            OutputError: it cannot be written.

        """
        provisional = f"{self._root}/_work/{partition:08}/partition.parquet"
        counts: dict[str, int] = {}
        with self._writing():
            self._fs.create_dir(f"{self._root}/_work/{partition:08}", recursive=True)
            with self._fs.open_output_stream(provisional) as stream:
                yield stream, counts
            self._write(f"_ledger/{partition:08}.done.json", json.dumps(counts))
            self._fs.move(provisional, f"{self._root}/part-{partition:08}.parquet")
            self._fs.delete_dir(f"{self._root}/_work/{partition:08}")

    def end(self) -> None:
        """Remove what only work needs, and what killed runs have left: all partitions are whole.

        Raises:
            OutputError: it cannot be removed.

        """
        with self._writing():
            self._remove_folder("_work")
            for name in filter(_is_left, self._entries("_ledger")):
                self._fs.delete_file(f"{self._root}/_ledger/{name}")

    def _add(self, partition: int, names: Sequence[str]) -> None:
        with self._writing():
            self._write(f"_ledger/{partition:08}.json", json.dumps(names))

    def _digests(self, partitions: Iterable[int]) -> NDArray[np.bytes_]:
        digests = [np.array(list(map(_digest, self.names(partition))), "S16") for partition in partitions]
        return np.sort(np.concatenate([np.empty(0, "S16"), *digests]))

    def _clear(self) -> None:
        """Remove what earlier runs have made, and nothing else."""
        for name in self._entries(""):
            if _PART.fullmatch(name):
                self._fs.delete_file(f"{self._root}/{name}")
        for name in ("_ledger", "_work"):
            self._remove_folder(name)

    def _remove_folder(self, name: str) -> None:
        if self._fs.get_file_info(f"{self._root}/{name}").type == import_module("pyarrow.fs").FileType.Directory:
            self._fs.delete_dir(f"{self._root}/{name}")

    def _entries(self, folder: str) -> list[str]:
        fs = import_module("pyarrow.fs")
        selector = fs.FileSelector(f"{self._root}/{folder}".rstrip("/"), allow_not_found=True)
        return [str(entry.base_name) for entry in self._fs.get_file_info(selector)]

    def _read(self, name: str) -> str | None:
        compression = "zstd" if name.endswith(".zst") else None
        try:
            with self._fs.open_input_stream(f"{self._root}/{name}", compression=compression) as stream:
                return str(stream.read().decode())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.out}: cannot be read ({error})") from error

    def _write(self, name: str, text: str) -> None:
        path = f"{self._root}/{name}"
        self._fs.create_dir(path.rpartition("/")[0], recursive=True)
        compression = "zstd" if name.endswith(".zst") else None
        # two workers may do the same task, when one was thought lost: each has its own
        provisional = f"{path}.{hashlib.sha256(text.encode() + np.random.bytes(8)).hexdigest()[:12]}{_PARTIAL}"
        with self._fs.open_output_stream(provisional, compression=compression) as stream:
            stream.write(text.encode())
        self._fs.move(provisional, path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.out}: cannot be written ({error})") from error


def _is_left(name: str) -> bool:
    """Say whether a file was being written when its run was killed."""
    return name.endswith(_PARTIAL)


def _unknown(names: Iterable[str], known: NDArray[np.bytes_]) -> Iterator[str]:
    """Yield the names whose digests are not `known`, a few at a time."""
    if not len(known):
        yield from names
        return
    some: list[str] = []

    def new() -> list[str]:
        digests = np.array([_digest(name) for name in some], "S16")
        places = np.searchsorted(known, digests).clip(0, len(known) - 1)
        return [name for name, there in zip(some, (known[places] == digests).tolist(), strict=True) if not there]

    for name in names:
        some.append(name)
        if len(some) == _KNOWN:
            yield from new()
            some = []
    if some:
        yield from new()


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip('"')
