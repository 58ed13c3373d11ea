"""Runs .onnx files; the only place that imports onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError

PROVIDERS = ("CPUExecutionProvider",)
"""What mien computes with."""


def runtime() -> tuple[str, list[str]]:
    """Return the version of onnxruntime, and all that it could compute with here.

    Raises:
        ModelError: onnxruntime is broken.

    """
    module = _onnxruntime()
    return str(module.__version__), list(module.get_available_providers())


class Session:
    """A loaded network with one input. Safe to call from several threads at once."""

    def __init__(self, model: bytes, *, name: str, threads: int | None = None) -> None:
        """Load a network.

        Args:
            model: the content of an .onnx file.
            name: what to call it in errors.
            threads: how many of its own to compute with; None is one for each core, which all networks of the
                process have in common.

        Raises:
            ModelError: onnxruntime is broken, or does not take the file.

        """
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Networks run in turn here. With a pool of threads for each, as is usual, those of one network wake up,
        # or spin, in the way of the next; so a network computes in one thread, and batches are shared out.
        options.intra_op_num_threads = threads or 1
        if threads is not None:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._shares = 1 if threads is not None else cores()
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[*PROVIDERS])
        except Exception as error:  # onnxruntime has a dozen unrelated exception types for a bad file
            first = str(error).strip().partition("\n")[0]
            raise ModelError(f"{name}: not a network that onnxruntime can run ({first})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{name}: it has {len(inputs)} inputs instead of one")
        try:
            self._input: str = inputs[0].name
            self.outputs: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())
            properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ModelError(f"{name}: what it says of itself is no text; the file is damaged") from error
        self.properties: Mapping[str, str] = MappingProxyType(properties)

    def __call__(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs, in the order of `outputs`, for a batch `values`."""
        shares = min(self._shares, len(values))
        if shares < 2:
            return self._run(values)
        answers = self.each(np.array_split(values, shares))
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def each(self, batches: Sequence[NDArray[Any]]) -> list[list[NDArray[Any]]]:
        """Return the outputs for each of several batches, which may differ in shape, computed side by side."""
        if self._shares < 2 or len(batches) < 2:
            return [self._run(batch) for batch in batches]
        others = [_workers().submit(self._run, batch) for batch in batches[1:]]
        answers = [self._run(batches[0])]
        for batch, other in zip(batches[1:], others, strict=True):
            # what nobody has begun, because the workers are busy for another caller, is done here
            answers.append(self._run(batch) if other.cancel() else other.result())
        return answers

    def _run(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        answers: list[NDArray[Any]] = self._session.run(None, {self._input: values})
        return answers


@cache
def _workers() -> ThreadPoolExecutor:
    """Return the threads that compute beside the one which asks: one less than there are cores."""
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="mien")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_workers.cache_clear)


def _onnxruntime() -> Any:
    # some of its builds tell its makers of their use, and keep a file among the temporary ones for it
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be loaded ({error}); reinstall it: pip install onnxruntime") from error
    return onnxruntime
