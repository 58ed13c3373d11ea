"""Folders that are whole or not there."""

from __future__ import annotations

import glob
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        scratch, claim = _claimed(out)
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
            _remove(scratch)
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
        except OSError:
            with suppress(OSError):  # empty where its run was killed before the claim, or after; or of another making
                scratch.rmdir()
            continue
        try:
            if _lock(claim):
                if (scratch / "old").exists() and not out.exists():
                    try:
                        (scratch / "old").rename(out)
                    except OSError as error:
                        raise OutputError(f"{out}: cannot be put back ({error.strerror or error})") from error
                _remove(scratch)
        finally:
            os.close(claim)


def _claimed(out: Path) -> tuple[Path, int]:
    """Make the folder of a run, and say that it lives, until the claim is closed, by it or by its death."""
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
        try:
            claim = os.open(scratch / _CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # a run that has just started took it for one that a dead run has left
            continue
        taken = _lock(claim)
        if taken is None or (taken and (scratch / _CLAIM).exists()):
            return scratch, claim
        os.close(claim)


def _remove(scratch: Path) -> None:
    """Remove the folder of a run, its claim last: what is left where this is cut short, the next run knows."""
    for name in ("new", "old"):
        shutil.rmtree(scratch / name, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _lock(file: int) -> bool | None:
    """Take a file for this process alone; False where another has it, None where there are no such locks."""
    try:
        # by its name only, so that types are checked alike on systems without it
        fcntl: Any = importlib.import_module("fcntl")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True
