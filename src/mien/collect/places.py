"""The places for fetches at work: one that waits for its host's turn gives its own up meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Places:
    """So many fetches may be at work at a time, while any number may wait for hosts.

    Attributes:
        waiting: tasks that have given up their place.
        changed: set when one gives it up.

    """

    def __init__(self, number: int, *, announce: Callable[[], None] = lambda: None) -> None:
        """Make free places.

        Args:
            number: of them.
            announce: called when a host has asked to wait.

        """
        self.waiting: set[asyncio.Task[None] | None] = set()
        self.changed = asyncio.Event()
        self._free = asyncio.Semaphore(number)
        self._holders: set[asyncio.Task[None] | None] = set()
        self._until: dict[str, float] = {}
        self._announce = announce

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place while the context lasts."""
        task = asyncio.current_task()
        await self._take(task)
        try:
            yield
        finally:
            self._give_up(task)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Leave the place of this task, where it has one, to others while the context lasts."""
        task = asyncio.current_task()
        if task not in self._holders:  # a search
            yield
            return
        self._give_up(task)
        self.waiting.add(task)
        self.changed.set()
        try:
            yield
            await self._take(task)
        finally:
            self.waiting.discard(task)

    def ask_to_wait(self, host: str, until: float) -> None:
        """Note that a host has asked to be left alone until a moment of time.monotonic."""
        self._until[host] = until
        self._announce()

    @property
    def longest_wait(self) -> tuple[str, float] | None:
        """The host that asks to wait longest, and seconds from now."""
        now = time.monotonic()
        self._until = {host: until for host, until in self._until.items() if until > now}
        if not self._until:
            return None
        host = max(self._until, key=lambda name: self._until[name])
        return host, self._until[host] - now

    async def _take(self, task: asyncio.Task[None] | None) -> None:
        await self._free.acquire()
        self._holders.add(task)

    def _give_up(self, task: asyncio.Task[None] | None) -> None:
        if task in self._holders:
            self._holders.discard(task)
            self._free.release()
