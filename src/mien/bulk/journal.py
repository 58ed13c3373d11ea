"""How far a run has come, beside its outputs, so that one that is ended at any moment goes on where it was."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.bulk.task import Input
from mien.errors import UsageError
from mien.whole import writing

try:
    import fcntl
except ImportError:  # on Windows, where nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a run had come at one moment.

    Attributes:
        done: inputs of which everything is written.
        names: a checksum (CRC-32) of their names.
        sizes: bytes of each file of records.
        failed: one of them could not be analysed.
        ended: there were no others.

    """

    done: int = 0
    names: int = 0
    sizes: tuple[int, ...] = ()
    failed: bool = False
    ended: bool = False


class Journal:
    """One run's marks, a line each after one that tells the run; it is held by one process at a time.

    Attributes:
        start: where this run begins: after the last mark of the one that it goes on with.
        done: inputs of which everything is written by now.

    """

    def __init__(
        self, path: Path, run: Mapping[str, Any], files: Sequence[tuple[Path, Path]], *, resume: bool
    ) -> None:
        """Open the journal.

        Args:
            path: its own.
            run: what must be the same for a run to go on with another: JSON values by their names.
            files: of records: the final and the provisional name of each.
            resume: go on after the last mark; otherwise what is there is forgotten.

        Raises:
            OutputError: it cannot be written.
            UsageError: another process holds it, or it is of a run that cannot be continued by this one.

        """
        self.path, self._files = path, files
        self._run = json.loads(json.dumps(run))
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        try:
            self._hold()
            found = self._found() if resume else None
            if found is None:
                with writing(path):
                    self._file.truncate(0)
                    self._line(self._run)
        except BaseException:
            self._file.close()
            raise
        self.start = found or Mark(sizes=(0,) * len(files))
        self._names, self.done = self.start.names, self.start.done

    def skipped(self, inputs: Iterator[Input]) -> Iterator[Input]:
        """Take the inputs that are done off the beginning of `inputs`, and return what is left.

        Raises:
            UsageError: they are not those of the run that is continued.

        """
        names = done = 0
        if self.start.ended:
            return iter(())
        while done < self.start.done and (one := next(inputs, None)) is not None:
            names, done = _checksum(names, one), done + 1
        if names != self.start.names:
            raise UsageError(
                f"{self.path}: the interrupted run had other inputs: some were added, removed or renamed since; "
                "start anew with --overwrite in place of --resume"
            )
        return inputs

    def promoted(self, file: Path) -> bool:
        """Say whether a file of records had its final name already when the run that is continued was ended."""
        return self.start.ended and not next(partial for final, partial in self._files if final == file).exists()

    def mark(self, one: Input, *, failed: bool) -> None:
        """Note that everything of an input is written, and of those before it; `failed`: of any of them."""
        self.done, self._names = self.done + 1, _checksum(self._names, one)
        self._write(failed, ended=False)

    def end(self, *, failed: bool) -> None:
        """Note that there are no more inputs, and that the outputs will now take their names."""
        if not self.start.ended:
            self._write(failed, ended=True)

    def close(self, *, keep: bool) -> None:
        """Let go of the file, and remove it unless it is to `keep` what a run can go on with."""
        if not keep:
            with writing(self.path):
                self.path.unlink(missing_ok=True)
        self._file.close()

    def _write(self, failed: bool, *, ended: bool) -> None:
        with writing(self.path):
            sizes = [os.stat(partial).st_size for _, partial in self._files]
            self._line([self.done, self._names, sizes, failed, ended])

    def _line(self, value: Any) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def _hold(self) -> None:
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{self.path}: another run is writing these outputs") from error
        except OSError:  # a file system without locks
            return

    def _found(self) -> Mark | None:
        """Return the last mark that the files of records reach; None where there is nothing to go on with."""
        self._file.seek(0)
        first = self._file.readline()
        if not first.endswith(b"\n"):  # killed before it did anything
            return None
        self._compare(first)
        last, whole = None, self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):  # what was being written when the run was killed
                break
            whole += len(line)
            mark = _mark(line)
            if mark is not None and self._reached(mark):
                last = mark
        self._file.truncate(whole)
        return last

    def _compare(self, line: bytes) -> None:
        """Refuse to go on with another run."""
        try:
            run = json.loads(line)
        except ValueError:
            run = None
        if not isinstance(run, dict):
            raise UsageError(f"{self.path}: not written by mien; name another output")
        for name in [*self._run, *run]:
            if run.get(name) != self._run.get(name):
                was, now = (json.dumps(one.get(name), ensure_ascii=False) for one in (run, self._run))
                raise UsageError(
                    f"{self.path}: the interrupted run was made with another {name} ({was}, now {now}); repeat its "
                    "command, or start anew with --overwrite in place of --resume"
                )

    def _reached(self, mark: Mark) -> bool:
        return len(mark.sizes) == len(self._files) and all(
            _size(partial) >= size or (mark.ended and os.path.lexists(final))
            for (final, partial), size in zip(self._files, mark.sizes, strict=True)
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _checksum(names: int, one: Input) -> int:
    return zlib.crc32(os.fsencode(one.name) + b"\0", names)


def _mark(line: bytes) -> Mark | None:
    try:
        done, names, sizes, failed, ended = json.loads(line)
        return Mark(int(done), int(names), tuple(map(int, sizes)), bool(failed), bool(ended))
    except (ValueError, TypeError):
        return None
