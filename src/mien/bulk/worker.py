"""A process that analyses inputs one after the other, with one thread for the networks, and draws what is asked."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from mien.bulk.drawing import Copies, Drawing, Existing
from mien.bulk.task import Input, Settings
from mien.errors import MienError, ModelError, OutputError, SourceError, UsageError
from mien.results import Result

if TYPE_CHECKING:
    from mien.analyzer import Analyzer

PATIENCE = 5.0
"""Seconds for which what is begun may be finished before a process is ended in the middle of it."""

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals by which people end programs."""

_TOLD = (SourceError, OutputError, ModelError, UsageError)  # which can be sent; not every error can


@dataclass(frozen=True, slots=True)
class Order:
    """An input to analyse.

    Attributes:
        number: its place among all.
        again: another worker has died with it, and may have drawn it already.

    """

    number: int
    one: Input
    again: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The models are loaded; `model` is the identity of the one that answers."""

    model: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A result of an input, and whether it is its last.

    Attributes:
        result: None where an input has none.
        ended: everything of the input is written.

    """

    number: int
    result: Result | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What ends the run: an error of mien's, or the traceback of one that nobody expected."""

    number: int
    error: MienError | str


Message = Ready | Reply | Failure


def work(orders: Connection, settings: Settings, drawing: Drawing) -> None:
    """Answer orders until there is nobody to give any more."""
    _take_signals()
    # decoders warn of oddities in files that they read all the same
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    waiting: SimpleQueue[Order] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders, waiting), daemon=True).start()
    number = -1
    try:
        analyzer = settings.open(threads=1)
        _send(orders, Ready(analyzer.model))
        while True:
            order = waiting.get()
            number = order.number
            for reply in _replies(analyzer, settings, drawing, order):
                _send(orders, reply)
    except (SystemExit, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        # whatever it is, it belongs to who asked
        with suppress(OSError):
            _send(orders, Failure(number, error if isinstance(error, _TOLD) else traceback.format_exc()))
    finally:
        os._exit(0)  # nothing is left to be written, and the threads of a film need not be waited for


def _replies(analyzer: Analyzer, settings: Settings, drawing: Drawing, order: Order) -> Iterator[Reply]:
    """Yield the replies to one order: the last when all that is drawn of it is whole."""
    if order.again and drawing.existing is Existing.REFUSE:  # what is there by now, the other one has made
        drawing = replace(drawing, existing=Existing.REPLACE)
    held: Result | None = None
    copies = Copies(drawing, order.one)
    try:
        with closing(settings.analyse(analyzer, [order.one])) as steps:
            for step in steps:
                if step.result is None:
                    continue
                copies.write(step.result, step.frame)
                if held is not None:
                    yield Reply(order.number, held, False)
                held = step.result
    except BaseException:
        copies.close(complete=False)
        raise
    copies.close(complete=True)
    yield Reply(order.number, held, True)


def _send(orders: Connection, message: Message) -> None:
    orders.send(message)


def _listen(orders: Connection, waiting: SimpleQueue[Order]) -> None:
    """Hand on what comes; when nobody is there any more, however it ended, this process ends too."""
    with suppress(EOFError, OSError):
        while True:
            waiting.put(orders.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


def _take_signals() -> None:
    """Leave it to the parent when to end: Ctrl-C and a closed terminal are told to all processes."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit
