"""How much lies on the server's disk, and whether there is room for more."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from mien.serve.problems import Problem
from mien.serve.settings import MEGABYTE

_FRESH = 0.25  # seconds for which a measurement counts
_SHARE = 20.0  # times as long as a measurement takes it counts at least: folders may hold thousands of files


class Disk:
    """A bound on everything that the server has on disk: bodies on their way, films that wait, results that are kept.

    What lies in the server's folders is measured there, so that nothing can be forgotten; what cannot be seen there,
    for it has no name or has only just been written, is counted. Any thread may ask.
    """

    def __init__(self, megabytes: int) -> None:
        """Allow so many megabytes."""
        self.megabytes = megabytes
        self._guard = threading.Lock()
        self._folders: list[Path] = []
        self._measured = self._since = self._held = 0
        self._stale = 0.0

    def watch(self, folder: Path) -> None:
        """Measure what lies in `folder` too."""
        with self._guard:
            self._folders.append(folder)
            self._stale = 0.0

    def used(self) -> int:
        """Return how many bytes there are now."""
        with self._guard:
            self._measure()
            return self._measured + self._held

    def check(self, size: int = 0, *, anew: bool = False) -> None:
        """See whether there is room for `size` bytes more.

        Args:
            size: how many are to come.
            anew: measure now: what was added may have reached its folder only after the last time.

        Raises:
            Problem: there is not (507).

        """
        with self._guard:
            if anew:
                self._measure()
            self._check(size)

    def add(self, size: int) -> None:
        """Count bytes that are just being written into one of the folders.

        Raises:
            Problem: there is no room for them (507).

        """
        with self._guard:
            self._check(size)
            self._since += size

    def hold(self, size: int) -> None:
        """Count bytes that are written to a file without a name, until they are released.

        Raises:
            Problem: there is no room for them (507).

        """
        with self._guard:
            self._check(size)
            self._held += size

    def release(self, size: int) -> None:
        """Count so many held bytes no more."""
        with self._guard:
            self._held -= size

    def _check(self, size: int) -> None:
        if time.monotonic() >= self._stale:
            self._measure()
        if not self._fits(size):
            self._measure()  # something may have been deleted
            if not self._fits(size):
                raise Problem(
                    507,
                    f"the server keeps {self.megabytes} MB at most (its --max-disk) and has no room for this; "
                    "try again later, or delete films that are done",
                    headers={"Retry-After": "30"},
                )

    def _fits(self, size: int) -> bool:
        return self._measured + self._since + self._held + size <= self.megabytes * MEGABYTE

    def _measure(self) -> None:
        began = time.monotonic()
        self._measured, self._since = sum(map(_size, self._folders)), 0
        now = time.monotonic()
        self._stale = now + max(_FRESH, _SHARE * (now - began))


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder; one with several names counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # gone meanwhile
                found = os.lstat(os.path.join(place, name))
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())
