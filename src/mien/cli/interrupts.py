"""Ctrl-C, let through between two results only: no output is left in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from mien.cli.messages import say

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(Exception):  # noqa: N818  # nothing went wrong
    """The user has ended a run.

    Attributes:
        kept: the files with what was done, under their provisional names.

    """

    def __init__(self, kept: Sequence[Path]) -> None:
        super().__init__()
        self.kept = kept


class Interrupts:
    """While it is entered, what ends a program raises KeyboardInterrupt, but in a `pause` after it.

    That is SIGINT, SIGTERM and SIGHUP, where they are not ignored already, as under nohup.
    """

    def __init__(self) -> None:
        self._paused = self._waiting = False

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere there are none
            handlers = {number: signal.getsignal(number) for number in _SIGNALS}
            self._before = {
                number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)
            }
            for number in self._before:
                signal.signal(number, self._come)
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

    @contextmanager
    def finish(self) -> Iterator[None]:
        """Finish the outputs, whatever comes the first time; who asks a second time gives them up."""
        self._paused, self._waiting = True, False
        try:
            yield
        finally:
            self._paused = self._waiting = False

    def _come(self, number: int, frame: FrameType | None) -> None:
        if not self._paused or self._waiting:
            raise KeyboardInterrupt
        self._waiting = True
        say("finishing what is begun; once more gives it up")
