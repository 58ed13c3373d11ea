"""The folder in which the page's files lie: what was uploaded, and what can be downloaded.

Gradio knows one such folder a process, by an environment variable; so all pages of a process share one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from mien.serve.problems import Problem
from mien.serve.storage import Storage

_EXAMPLES = Path(__file__).parent / "examples"
_VARIABLE = "GRADIO_TEMP_DIR"
_guard = threading.Lock()
_storage: Storage | None = None
_pages = 0
_before: str | None = None


class Uploads:
    """A page's hold on the folder, which vanishes with the last of them."""

    def __init__(self, *, keep: int) -> None:
        """Make the folder, unless another page of the process has, and tell Gradio of it.

        Args:
            keep: seconds after which a file is deleted.

        """
        global _storage, _pages, _before
        with _guard:
            if _storage is None:
                _storage = Storage()
                _before = os.environ.get(_VARIABLE)
                os.environ[_VARIABLE] = str(_storage.path.resolve())
                shutil.copytree(_EXAMPLES, _storage.path / _EXAMPLES.name)
            _pages += 1
            self.storage = _storage
            self.folder = _storage.path.resolve()
        self.examples = sorted((self.folder / _EXAMPLES.name).iterdir())
        self.keep = keep
        self._open = True

    def close(self) -> None:
        """Let go of the folder."""
        global _storage, _pages
        with _guard:
            if not self._open:
                return
            self._open = False
            _pages -= 1
            if _pages or _storage is None:
                return
            _storage.close()
            _storage = None
            if _before is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = _before

    def holds(self, path: str | Path) -> bool:
        """Whether `path`, links followed, is in the folder."""
        try:
            return Path(path).resolve().is_relative_to(self.folder)
        except (OSError, ValueError, RuntimeError):
            return False

    def uploaded(self, payload: object) -> tuple[Path, str]:
        """Return the file that Gradio says was uploaded, and the name that it had at its sender's.

        Raises:
            Problem: it is not one of ours (403), or no longer kept (404).

        """
        path = payload.get("path") if isinstance(payload, dict) else None
        if not isinstance(path, str) or not self.holds(path):
            raise Problem(403, "only files uploaded here are read")
        if not Path(path).is_file():
            raise Problem(404, f"files are deleted here after {self.keep} seconds: upload this one again")
        given = payload.get("orig_name") if isinstance(payload, dict) else None
        return Path(path), Path(given if isinstance(given, str) and given else path).name

    def file(self, name: str) -> Path:
        """Return where to write a file for download; nobody can guess the path."""
        folder = self.folder / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        return folder / name

    def offered(self, path: Path, name: str) -> Path:
        """Return a file of another folder under `name` in this one, without a copy where that is possible."""
        target = self.file(name)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
        return target

    def sweep(self) -> None:
        """Delete what is older than allowed."""
        oldest = time.time() - self.keep

        def is_old(path: Path) -> bool:
            return path.lstat().st_ctime < oldest  # of a link: the time of the offer, not that of the content

        for name, _, files in os.walk(self.folder, topdown=False):
            folder = Path(name)
            if folder == self.folder / _EXAMPLES.name:
                continue
            with suppress(OSError):  # gone meanwhile
                empties = folder != self.folder and is_old(folder)
                for path in (folder / file for file in files):
                    if is_old(path):
                        path.unlink()
                if empties:
                    folder.rmdir()


def file_name(source: str, ending: str) -> str:
    """Return the name of a file for download that is about `source`: letters, digits and dashes, and the ending."""
    stem = re.sub(r"[^\w-]+", "-", Path(source).stem).strip("-")[:60]
    return (stem or "result") + ending
