"""Many pictures at once, in as many threads as there are cores, and their number as they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mien.models.session import cores

Item = TypeVar("Item")
Answer = TypeVar("Answer")
ProgressHook = Callable[[str, int, int], None]
"""Is told what is done, how many of it, and of how many."""


def in_threads(work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Yield what `work` makes of each of `items`, in order, at most a few ahead of who takes them."""
    threads = cores()
    with ThreadPoolExecutor(threads, thread_name_prefix="mien-clean") as pool:
        waiting: deque[Future[Answer]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def counted(items: Iterable[Item], what: str, count: int, progress: ProgressHook) -> Iterator[Item]:
    """Yield `items`, and tell `progress` how many of them are done."""
    for done, item in enumerate(items, start=1):
        yield item
        progress(what, done, count)
