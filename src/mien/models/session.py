"""Runs .onnx files; the only place that imports onnxruntime."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import cache, partial
from io import StringIO
from itertools import chain, islice, pairwise
from threading import Lock
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError, one_line
from mien.models import providers
from mien.models.providers import Device
from mien.models.store import read_model


def runtime() -> tuple[str, list[str]]:
    """Return the version of onnxruntime, and all that it could compute with here.

    Raises:
        ModelError: onnxruntime is broken.

    """
    module = _onnxruntime()
    return str(module.__version__), list(module.get_available_providers())


class Session:
    """A loaded network with one input. Safe to call from several threads at once, in forked processes too.

    A copy, or what is unpickled in another process, loads the network anew.

    Attributes:
        device: what it is computed on.
        outputs: their names, in the order of the answers.
        properties: what the file says of itself.

    """

    _forked = False  # and its device has stayed with the other process

    def __init__(self, model: bytes, *, name: str, threads: int | None = None, device: str = "cpu") -> None:
        """Load a network.

        Args:
            model: the content of an .onnx file.
            name: what to call it in errors.
            threads: how many of its own to compute with; None is one for each core, which all networks of the
                process have in common.
            device: what to compute on, one of `providers.NAMES`.

        Raises:
            ModelError: onnxruntime is broken, or does not take the file.
            UsageError: the device is not there, or does not work.

        """
        self.name, self._model, self._threads = name, model, threads
        self.device = chosen_device(device)
        self._begin()
        session = self._opened()
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{name}: it has {len(inputs)} inputs instead of one")
        try:
            self._input: str = inputs[0].name
            self.outputs: tuple[str, ...] = tuple(output.name for output in session.get_outputs())
            properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ModelError(f"{name}: what it says of itself is no text; the file is damaged") from error
        self.properties: Mapping[str, str] = MappingProxyType(properties)

    def __reduce__(self) -> tuple[partial[Session], tuple[bytes]]:
        again = partial(Session, name=self.name, threads=self._threads, device=self.device.name)
        return again, (self._model,)

    def _begin(self) -> None:
        """Set what belongs to this process."""
        self._session: Any = None
        self._opening = Lock()
        self._turn: AbstractContextManager[object] = Lock() if self.device.one_at_a_time else nullcontext()
        self._shares = 1 if self._threads is not None or self.device is not providers.CPU else cores()
        _sessions.add(self)

    def _opened(self) -> Any:
        """Return onnxruntime's session of this process.

        Raises:
            ModelError: onnxruntime is broken, or does not take the file; the device does not survive a fork.
            UsageError: the device does not work.

        """
        with self._opening:
            if self._session is None:
                if self._forked:
                    raise ModelError(
                        f"{self.name}: what computes on {self.device.name} does not survive a fork: load it in the "
                        'new process, or have that started by "spawn"'
                    )
                self._session = self._open()
            return self._session

    def _open(self) -> Any:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Networks run in turn here. With a pool of threads for each, as is usual, those of one network wake up,
        # or spin, in the way of the next; so a network computes in one thread, and batches are shared out.
        options.intra_op_num_threads = self._threads or 1
        if self._threads is not None:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        chosen = self.device
        options.enable_mem_pattern = not chosen.one_at_a_time
        if chosen.name == "cuda" and hasattr(onnxruntime, "preload_dlls"):
            with redirect_stdout(StringIO()):  # it prints what it does not find; whether that matters is seen below
                onnxruntime.preload_dlls()  # NVIDIA's libraries, where pip has installed them
        wanted: list[Any] = [(chosen.provider, dict(chosen.options))]
        if chosen is not providers.CPU:
            wanted.append(providers.CPU.provider)  # for operations that the other does not know
        try:
            # without its own fallback, which would print on standard output and go on with the processor
            session = onnxruntime.InferenceSession(self._model, options, providers=wanted, enable_fallback=0)
        except Exception as error:  # onnxruntime has a dozen unrelated exception types for a bad file
            first = str(error).strip().partition("\n")[0]
            where = "" if chosen is providers.CPU else f" on {chosen.name}"
            raise ModelError(f"{self.name}: not a network that onnxruntime can run{where} ({first})") from error
        providers.check(chosen, session.get_providers(), onnxruntime.get_available_providers())
        return session

    def _fork(self) -> None:
        """Let go of the session of the process that this one is a fork of.

        The threads of that, and whoever had its locks, are not here. So it is never ended either, which would wait
        for them: by a reference that nobody gives back.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
        self._forked = self.device is not providers.CPU
        self._begin()

    def __call__(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs, in the order of `outputs`, for a batch `values`."""
        shares = min(self._shares, len(values))
        if shares < 2:
            return self._run(values)
        answers = self.each(np.array_split(values, shares))
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def parts(self, count: int, most: int) -> list[slice]:
        """Return how to divide `count` rows into batches of at most `most`, so that all threads end together."""
        number = -(-count // most)
        if count > most // 2:  # fewer take no longer in one thread
            number = min(-(-number // self._shares) * self._shares, count)
        edges = [count * i // max(1, number) for i in range(number + 1)]
        return [slice(*pair) for pair in pairwise(edges)]

    def each(self, batches: Iterable[NDArray[Any]], *, several: bool = False) -> list[list[NDArray[Any]]]:
        """Return the outputs for each of several batches, which may differ in shape, computed side by side.

        The first are computed while `batches` still makes others.

        Args:
            batches: what goes into the network, one after the other.
            several: there is more than one, so that the first need not wait for the second.

        """
        if self._shares < 2:
            # all made first: in turns with the network, they would be made out of cold caches
            return [self._run(batch) for batch in list(batches)]
        batches = iter(batches)
        first = list(islice(batches, 1 if several else 2))
        if len(first) < 2 and not several:  # handed to another thread, it would only take longer
            return [self._run(batch) for batch in first]
        begun = [(batch, _workers().submit(self._run, batch)) for batch in chain(first, batches)]
        answers: list[list[NDArray[Any]]] = []
        # what nobody has begun is done here, from the end, until this thread meets the others
        for batch, other in reversed(begun):
            answers.append(self._run(batch) if other.cancel() else other.result())
        return answers[::-1]

    def _run(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        session = self._session or self._opened()
        with self._turn:
            answers: list[NDArray[Any]] = session.run(None, {self._input: values})
        return answers


def chosen_device(name: str) -> Device:
    """Return the device called `name`; of `auto` it is found out once what works.

    Raises:
        ModelError: onnxruntime is broken.
        UsageError: there is no such device, or onnxruntime does not offer it here.

    """
    if name == providers.AUTO:
        return _best_device()
    return providers.choose(name, runtime()[1], works=_works)


@cache
def _best_device() -> Device:
    return providers.choose(providers.AUTO, runtime()[1], works=_works)


def _works(device: Device) -> bool:
    """Return whether a small network runs there: some libraries are missed only then."""
    try:
        trial = Session(read_model("mtcnn_pnet").content, name="mtcnn_pnet", device=device.name)
        trial(np.zeros((1, 24, 24, 3), np.uint8))
    except Exception:  # onnxruntime has a dozen unrelated exception types for this
        return False
    return True


@cache
def _workers() -> ThreadPoolExecutor:
    """Return the threads that compute beside the one which asks: one less than there are cores."""
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="mien")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_sessions: WeakSet[Session] = WeakSet()


def _fork() -> None:
    """Let go of what does not survive a fork: a forked process has none of its parent's threads."""
    _workers.cache_clear()
    for session in list(_sessions):
        session._fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)


def _onnxruntime() -> Any:
    # some of its builds tell its makers of their use, and keep a file among the temporary ones for it
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except Exception as error:  # a broken binary package fails in ways of its own
        reason = one_line(str(error).strip().partition("\n")[0])
        raise ModelError(
            f"onnxruntime cannot be loaded ({reason}); reinstall it: pip install --force-reinstall onnxruntime"
        ) from error
    return onnxruntime
