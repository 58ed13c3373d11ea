"""The server's end: what has begun is finished, and nothing new begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mien.serve.problems import stopping


class Stop:
    """Says when the server stops, and counts the work that no open request stands for: what the page has begun.

    Attributes:
        begun: set when the server begins to stop.

    """

    def __init__(self, *, seconds: float) -> None:
        """Wait for nothing yet.

        Args:
            seconds: for which work that has begun may go on once the server stops.

        """
        self.begun = asyncio.Event()
        self._seconds = seconds
        self._until: float | None = None
        self._works = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """Begin to stop."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        self.begun.set()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Do something that is to be finished.

        Raises:
            Problem: the server is stopping (503).

        """
        if self.begun.is_set():
            raise stopping()
        self._works += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._works -= 1
            if not self._works:
                self._idle.set()

    async def finished(self) -> None:
        """Return when no work is left, or the time for it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                await self._idle.wait()
