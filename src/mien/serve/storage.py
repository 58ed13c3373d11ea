"""Where a server puts what it must for a while: a folder of its own, which does not outlive it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PREFIX = "mien-serve-"
_NO_LOCKS = -1  # stands for a lock where there are none: what a kill leaves there stays


class Storage:
    """A private folder. It goes at `close`, or else when the process ends; after a kill, when the next server starts.

    The process holds a lock on its folder, which the system takes back however the process ends. A folder whose lock
    can be had is nobody's any more: the next server of the same user removes it.

    Attributes:
        path: the folder; nobody but this user may look into it.

    """

    def __init__(self, parent: Path | None = None) -> None:
        """Remove what killed servers have left, and make a folder.

        Args:
            parent: where; None is the system's place for temporary files (TMPDIR names another).

        Raises:
            OSError: no folder can be made there.

        """
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        _sweep(parent)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            lock = _lock(self.path)
            # another server that is starting may have seen the folder while it was not locked yet
            if lock is not None and self.path.is_dir():
                self._remove = weakref.finalize(self, _remove, self.path, lock)  # also where nobody closes it
                return
            _unlock(lock)

    def file(self, suffix: str = "") -> Path:
        """Return the path of a new, empty file, of which nobody can guess the name."""
        descriptor, name = tempfile.mkstemp(suffix=suffix, dir=self.path)
        os.close(descriptor)
        return Path(name)

    def folder(self) -> Path:
        """Return the path of a new, empty folder."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def close(self) -> None:
        """Remove the folder and all that is in it; more than once does no harm."""
        self._remove()

    def __enter__(self) -> Storage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove(path: Path, lock: int) -> None:
    gone = path.with_name(path.name + "-gone")
    with suppress(OSError):  # under another name, no thread that still writes can put something into it meanwhile
        path = path.rename(gone)
    shutil.rmtree(path, ignore_errors=True)
    _unlock(lock)


def _sweep(parent: Path) -> None:
    """Remove the folders of servers that are no more; those of other users are theirs."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != _user():
                continue
            lock = _lock(path)
            if lock is not None and lock != _NO_LOCKS:
                shutil.rmtree(path, ignore_errors=True)
                _unlock(lock)


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def _lock(folder: Path) -> int | None:
    """Return what holds the folder's lock; None where another process holds it, or the folder has gone."""
    if sys.platform == "win32":  # folders cannot be locked there
        return _NO_LOCKS
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return _NO_LOCKS
    return descriptor


def _unlock(lock: int | None) -> None:
    if lock is not None and lock != _NO_LOCKS:
        os.close(lock)
