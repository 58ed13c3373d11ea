"""Work that overlaps: a stage of the road in a thread of its own, a bounded number of items ahead of the next."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from mien.errors import UsageError

Item = TypeVar("Item")


def ahead(items: Iterable[Item], most: int) -> Generator[Item, None, None]:
    """Yield `items` while a thread already makes the next ones, at most `most` of them.

    What making them raises is raised here, after those before it; in a fork of the process that has begun, UsageError
    is. When this generator is closed by the thread that used it, so is `items`, if it is one, in the thread that ran
    it, and that thread has ended.
    """
    buffer = _Buffer[Item](most)
    thread = threading.Thread(target=buffer.fill, args=(items,), name="mien-ahead", daemon=True)
    user = threading.current_thread()
    _running[thread] = buffer
    thread.start()
    try:
        yield from buffer.empty()
    finally:
        buffer.stop()
        # A garbage collection closes what is forgotten in whatever thread it happens to run in, also in one that
        # `thread` waits for.
        if threading.current_thread() is user:
            thread.join()


class _Buffer(Generic[Item]):
    def __init__(self, most: int) -> None:
        self._items: deque[Item] = deque()
        self._most = most
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def fill(self, items: Iterable[Item]) -> None:
        """Put in all items, as there is room, until somebody stops it."""
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or len(self._items) < self._most)
                    if self._stopped:
                        break
                    self._items.append(item)
                    self._changed.notify_all()
                del item  # it may be large, and making the next may take long
        except BaseException as error:  # whatever it is, it belongs to who asked for the items
            self._error = error
        finally:
            if isinstance(items, Generator):
                with suppress(Exception):
                    items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def empty(self) -> Generator[Item, None, None]:
        """Take out all items, as they come."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def lose(self) -> None:
        """The thread that fills it is in another process, of which this is a fork."""
        self._changed = threading.Condition()  # that thread may have had the other
        self._items.clear()
        self._ended, self._error = True, UsageError(LOST)


LOST = "what one process has begun to read, a fork of it cannot go on with: begin to read in the process that uses it"

_running: WeakKeyDictionary[threading.Thread, _Buffer[Any]] = WeakKeyDictionary()


@atexit.register
def _end() -> None:
    """End what nobody has closed before the interpreter goes: it would be torn out of the middle of a computation."""
    for thread, buffer in list(_running.items()):
        buffer.stop()
        thread.join(5.0)


def _fork() -> None:
    for buffer in list(_running.values()):
        buffer.lose()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)
