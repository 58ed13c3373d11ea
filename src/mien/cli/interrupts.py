"""Ctrl-C, let through between two results only: no output is left in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  # nothing went wrong
    """The user has ended a run.

    Attributes:
        kept: the files with what was done, under their provisional names.

    """

    def __init__(self, kept: Sequence[Path]) -> None:
        super().__init__()
        self.kept = kept


class Interrupts:
    """While it is entered, SIGINT and SIGTERM raise KeyboardInterrupt, but those that come in a `pause` after it."""

    def __init__(self) -> None:
        self._paused = self._waiting = False

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere there are none
            self._before = {number: signal.signal(number, self._come) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Finish what is begun; whoever asks a second time is obeyed at once."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False
        if self._waiting:
            raise KeyboardInterrupt

    def _come(self, number: int, frame: FrameType | None) -> None:
        if not self._paused or self._waiting:
            raise KeyboardInterrupt
        self._waiting = True
