"""Folders that are whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder to fill; when the context ends without an error it takes the name `out`.

    A folder that has that name already is replaced, and is kept where anything goes wrong.

    Raises:
        OutputError: something of it cannot be written.

    """
    scratch = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
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
