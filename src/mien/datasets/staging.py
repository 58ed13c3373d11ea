"""Folders that are whole or not there."""

from __future__ import annotations

import glob
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import OutputError

_CLAIM = ".claimed"  # locked in the folder of a run for as long as that lives


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder to fill; when the context ends without an error it takes the name `out`.

    A folder that has that name already is replaced, and is kept where anything goes wrong. What a run that was killed
    has left beside it is removed.

    Raises:
        OutputError: something of it cannot be written.

    """
    scratch, claim = None, None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(out)
        scratch = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
        claim = _claimed(scratch)
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        yield new
        try:
            if out.exists():
                out.rename(old)
            new.rename(out)
        finally:
            if old.exists() and not out.exists():
                old.rename(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        if claim is not None:
            os.close(claim)


def recover_folder(out: Path) -> None:
    """Remove the folders of runs that are dead; what one had put aside of an earlier `out` goes back first.

    Raises:
        OutputError: it cannot be put back.

    """
    for scratch in sorted(out.parent.glob(f"{glob.escape(out.name)}.partial-*")):
        try:
            claim = os.open(scratch / _CLAIM, os.O_RDWR)
        except OSError:  # of another making
            continue
        try:
            if _lock(claim):
                if (scratch / "old").exists() and not out.exists():
                    try:
                        (scratch / "old").rename(out)
                    except OSError as error:
                        raise OutputError(f"{out}: cannot be put back ({error.strerror or error})") from error
                shutil.rmtree(scratch, ignore_errors=True)
        finally:
            os.close(claim)


def _claimed(scratch: Path) -> int:
    """Say that a run lives, until the answer is closed, by it or by its death."""
    claim = os.open(scratch / f"{_CLAIM}.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if _lock(claim):  # before others can see it
        (scratch / f"{_CLAIM}.new").rename(scratch / _CLAIM)
    return claim


def _lock(file: int) -> bool:
    """Take a file for this process alone; False where another has it, or the system has no such locks."""
    try:
        # by its name only, so that types are checked alike on systems without it
        fcntl: Any = importlib.import_module("fcntl")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
