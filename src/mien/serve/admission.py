"""What may wait and lie about in memory: one measure for the REST service, the page and live frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mien.models.session import cores
from mien.results import Frame
from mien.serve.engine import Engine
from mien.serve.problems import busy
from mien.serve.settings import Settings
from mien.sources import read_picture
from mien.sources.freed import give_back
from mien.sources.opening import counted_pixels, open_source, recognise_picture

_READING = 4  # times the queue: so many bodies may be on their way
_LARGE = 4_000_000  # pixels: what working on so many frees goes back to the system

_T = TypeVar("_T")


class Places:
    """Pictures that have come and are not yet in the engine's queue."""

    def __init__(self, count: int) -> None:
        self.taken = count

    def leave(self) -> None:
        """Give one up: its picture is in the engine's queue now."""
        self.taken -= 1


class _Room:
    """A number of pixels that are given out in the order in which they are asked for."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, pixels: int) -> None:
        async with self._turn:
            while self._taken and self._taken + pixels > self._most:
                self._freed.clear()
                await self._freed.wait()
            self._taken += pixels

    def free(self, pixels: int) -> None:
        self._taken -= pixels
        self._freed.set()


class Admission:
    """Bounds the bodies and pictures that wait, the pixels that lie about decoded, and those that are worked on.

    Whatever decodes pictures for a client does so here: first a place among those that wait, then `decoded`. It is
    used on the event loop's thread only.

    Attributes:
        bodies: how many requests' bodies are on their way.

    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Make room."""
        self._engine, self._settings = engine, settings
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="mien-pictures")
        self.bodies = 0
        self._places: set[Places] = set()
        self._largest = settings.max_pixels * 1_000_000
        # As many pixels as the largest picture has may lie about decoded, and as many be decoded or drawn on at once,
        # which takes as much again.
        self._decoded, self._worked_on = _Room(self._largest), _Room(self._largest)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """Return when the threads have ended; what has not begun by now is given up."""
        self._pool.shutdown(cancel_futures=True)

    @property
    def waiting(self) -> int:
        """How many pictures wait, those that are still to be decoded among them."""
        return sum(places.taken for places in self._places) + self._engine.queued

    @contextmanager
    def body(self) -> Iterator[None]:
        """Take a body in.

        Raises:
            Problem: as many as may be are on their way, or the queue is full (429).

        """
        if self.waiting >= self._settings.queue or self.bodies >= _READING * self._settings.queue:
            raise busy()
        self.bodies += 1
        try:
            yield
        finally:
            self.bodies -= 1

    @contextmanager
    def places(self, count: int) -> Iterator[Places]:
        """Keep places in the queue for pictures that have come; more than it holds only when nothing waits.

        Raises:
            Problem: there are not so many left (429).

        """
        waiting = self.waiting
        if waiting and waiting + count > self._settings.queue:
            raise busy()
        places = Places(count)
        self._places.add(places)
        try:
            yield places
        finally:
            self._places.discard(places)

    @asynccontextmanager
    async def decoded(self, source: Callable[[], bytes | Path], *, name: str) -> AsyncIterator[Frame]:
        """Read a picture when there is room for it, which it takes up for as long as the context lasts.

        Args:
            source: returns the file or its content; called in a thread, when its turn has come.
            name: what to call it in results and errors.

        Raises:
            SourceError: it cannot be read.

        """
        async with self._turn:  # one at a time: contents that wait would take up room too
            content, pixels = await asyncio.wrap_future(self._pool.submit(_open, source, name, self._largest))
            await self._decoded.take(pixels)
        try:
            read = partial(read_picture, content, name=name, max_pixels=self._largest)
            del content
            frame = await self.worked_on(pixels, read)
            del read
            yield frame
        finally:
            self._decoded.free(pixels)

    async def worked_on(self, pixels: int, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do something with a picture in one of the threads, which `close` waits for, when there is room for that.

        Args:
            pixels: how many the picture has.
            work: what is to be done.
            arguments: what it takes.

        """
        await self._worked_on.take(pixels)
        future: Future[_T] | None = None
        try:
            if pixels < _LARGE:
                future = self._pool.submit(work, *arguments)
            else:
                future = self._pool.submit(_giving_back, work, *arguments)
            return await asyncio.wrap_future(future)
        finally:
            if future is not None and future.running():  # nobody waits for it any more, yet it goes on
                future.add_done_callback(partial(self._free_later, asyncio.get_running_loop(), pixels))
            else:
                self._worked_on.free(pixels)

    def _free_later(self, loop: asyncio.AbstractEventLoop, pixels: int, future: Future[Any]) -> None:
        with suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(self._worked_on.free, pixels)


def _giving_back(work: Callable[..., _T], *arguments: Any) -> _T:
    try:
        return work(*arguments)
    finally:
        give_back()


def _open(source: Callable[[], bytes | Path], name: str, most: int) -> tuple[bytes | Path, int]:
    """Return what is to be read, and how many pixels it counts for by its header, or may at most.

    Raises:
        SourceError: it is damaged at its beginning, or too large.

    """
    content = source()
    with open_source(content, name) as (file, head):
        image = recognise_picture(file, head, name, most)
        if image is None:  # a film, of which the first frame is read, or nothing that can be read
            return content, most
        with image:
            return content, counted_pixels(image)
