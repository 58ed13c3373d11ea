"""Many inputs at once, in processes of one computing thread each; the answers come in the order of the inputs."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mien.bulk.drawing import Drawing
from mien.bulk.task import Input, Settings, Step, Steps
from mien.bulk.worker import ENDING, PATIENCE, Failure, Message, Order, Ready, Reply, work
from mien.errors import MienError, ModelError
from mien.results import Result
from mien.sources.folder import SUFFIXES
from mien.sources.naming import source_error

_AHEAD = 2  # pictures that a worker has at a time, so that it need never wait; of films, which take long, only one
_HELD = 8192  # results and faces that wait for others before them, some 20 MB
_LISTED = 4096  # inputs that are known ahead
_ATTEMPTS = 3  # workers that die before they can begin, one after the other


@dataclass(slots=True)
class _Task:
    """An input, and what is known of it.

    Attributes:
        results: that came, and have not been taken.
        came: how many there were; after a worker's death they come again, and so many are passed over.
        again: how many come again.
        deaths: of workers that were at it.

    """

    order: Order
    results: deque[Result] = field(default_factory=deque)
    came: int = 0
    again: int = 0
    deaths: int = 0
    ended: bool = False
    failure: MienError | str | None = None

    @property
    def size(self) -> int:
        """As how many pictures it counts."""
        return 1 if self.order.one.relative.suffix.lower() in SUFFIXES else _AHEAD


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    line: Connection
    tasks: deque[_Task] = field(default_factory=deque)
    ready: bool = False


class Pool:
    """Worker processes that share out inputs.

    A worker that dies is replaced, and what it had is done again; an input at which two of them have died becomes a
    result with an error.
    """

    def __init__(self, settings: Settings, drawing: Drawing, *, workers: int, model: str) -> None:
        """Say what the processes will do.

        Args:
            settings: of the Analyzer that each of them loads.
            drawing: what they draw of every input.
            workers: how many.
            model: the identity of the model that they must find.

        """
        self._settings, self._drawing, self._model = settings, drawing, model
        self._context = multiprocessing.get_context("spawn")
        self._tasks: deque[_Task] = deque()
        self._stillborn = 0
        self._held = 0
        self._count = workers
        self._workers: list[_Worker] = []
        self._next: tuple[int, Input] | None = None

    def steps(self, inputs: Iterator[Input]) -> Steps:
        """Yield the steps of a run over `inputs`, in their order; the processes end when this does, or is closed.

        Raises:
            ModelError: the model is another by now.
            OutputError: something cannot be drawn.
            MienError: the processes cannot be started.

        """
        try:
            for _ in range(self._count):
                self._workers.append(self._started())
            numbered = enumerate(inputs)
            while self._feed(numbered):
                task = self._tasks[0]
                yield Step(task.order.one)
                while True:
                    while task.results:
                        result = task.results.popleft()
                        self._held -= _weight(result)
                        yield Step(task.order.one, result)
                    if task.failure is not None:
                        raise _raised(task.failure)
                    if task.ended:
                        break
                    self._listen()
                    self._feed(numbered)
                self._tasks.popleft()
        finally:
            self._stop()

    def _feed(self, numbered: Iterator[tuple[int, Input]]) -> bool:
        """Give orders to the workers that have few; say whether anything is left to be waited for."""
        while len(self._tasks) < _LISTED and self._held < _HELD:
            worker = min(self._workers, key=lambda one: sum(task.size for task in one.tasks))
            self._next = self._next or next(numbered, None)
            if self._next is None:
                break
            task = _Task(Order(*self._next))
            if worker.tasks and sum(one.size for one in [*worker.tasks, task]) > _AHEAD:
                break
            if self._drawing and self._is_at_work(task.order.one):
                break
            self._next = None
            self._tasks.append(task)
            worker.tasks.append(task)
            _give(worker, task)
        return bool(self._tasks)

    def _is_at_work(self, one: Input) -> bool:
        """Say whether the same input is in hand already: two workers would draw one file."""
        return any(task.order.one.name == one.name for worker in self._workers for task in worker.tasks)

    def _listen(self) -> None:
        """Take what the workers say, once one of them says something.

        Those that are far ahead of the input that everything waits for are not listened to, and wait in turn.
        """
        first = self._tasks[0]
        heard = [
            worker
            for worker in self._workers
            if self._held < _HELD or (worker.tasks and worker.tasks[0].order.number <= first.order.number)
        ]
        by_line = {id(worker.line): worker for worker in heard}
        for line in wait([worker.line for worker in heard]):
            worker = by_line[id(line)]
            try:
                message = worker.line.recv()  # of a process of our own
            except (EOFError, OSError):
                self._replace(worker)
            else:
                self._hear(worker, message)

    def _hear(self, worker: _Worker, message: Message) -> None:
        match message:
            case Ready(model):
                if model != self._model:
                    raise ModelError(f"{self._settings.model}: it is another model since the run began: {model}")
                worker.ready, self._stillborn = True, 0
            case Failure(number, error):
                if number < 0:
                    raise _raised(error)
                worker.tasks[0].failure = error
            case Reply(_, result, ended):
                task = worker.tasks[0]
                if result is not None and task.again:
                    task.again -= 1
                elif result is not None:
                    task.came += 1
                    task.results.append(result)
                    self._held += _weight(result)
                if ended:
                    task.ended = True
                    worker.tasks.popleft()

    def _replace(self, worker: _Worker) -> None:
        """Start another worker for one that has died, with the same tasks."""
        worker.line.close()
        worker.process.join()
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn == _ATTEMPTS:
                raise MienError(
                    f"worker processes end as they begin (exit status {worker.process.exitcode}); is there too "
                    "little memory? --workers 1 needs no others"
                )
        elif worker.tasks:
            self._blame(worker)
        successor = self._started()
        successor.tasks = worker.tasks
        self._workers[self._workers.index(worker)] = successor
        for task in successor.tasks:
            task.again = task.came
            _give(successor, task)

    def _blame(self, worker: _Worker) -> None:
        """Hold the death of a worker against what it was at; what kills two is given up."""
        task = worker.tasks[0]
        if task.failure is not None:  # told, and ended in order
            worker.tasks.clear()
            return
        task.deaths += 1
        task.order = Order(task.order.number, task.order.one, again=True)
        if task.deaths < 2:
            return
        one = task.order.one
        reason = f"the process that analysed it died, twice (exit status {worker.process.exitcode}: out of memory?)"
        error = str(source_error(one.name, reason))
        task.results.append(Result(one.name, task.came, None, None, None, self._model, error=error))
        self._held += 1
        task.ended = True
        worker.tasks.popleft()

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, self._settings, self._drawing), name="mien-worker", daemon=True
        )
        try:
            with _unheard_signals():
                process.start()
        except OSError as error:
            reason = error.strerror or error
            raise MienError(f"a worker process cannot be started ({reason}); --workers 1 needs no others") from error
        theirs.close()
        return _Worker(process, ours)

    def _stop(self) -> None:
        """End the workers: what they have begun to draw they may finish or remove, if that is soon done."""
        workers, self._workers = self._workers, []
        try:
            for worker in workers:
                if worker.ready:
                    worker.process.terminate()
                else:
                    worker.process.kill()
            deadline = time.monotonic() + PATIENCE
            for worker in workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()
                worker.line.close()


def _give(worker: _Worker, task: _Task) -> None:
    with suppress(OSError):  # it has died, and is soon replaced
        worker.line.send(task.order)


def _weight(result: Result) -> int:
    return 1 + len(result.faces)


def _raised(error: MienError | str) -> Exception:
    return RuntimeError(f"in a worker process:\n{error}") if isinstance(error, str) else error


@contextmanager
def _unheard_signals() -> Iterator[None]:
    """Start processes that what tells this one to end does not end, even before they can see to that themselves.

    They begin with these signals blocked. Here they are heard afterwards: a process that is started only half, since
    any other thread may take a signal that is blocked in this one, would say so on the terminal.
    """
    came: list[int] = []
    mine = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in ENDING if mine and callable(signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append(number))
    blocked = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # which would be started with the first process, and unblock them
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)
