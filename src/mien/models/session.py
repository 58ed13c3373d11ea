"""Runs .onnx files; the only place that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

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
            threads: how many of its own to compute with; None shares one for each core with the other networks
                of the process.

        Raises:
            ModelError: onnxruntime is broken, or does not take the file.

        """
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is None and _share_threads():
            options.use_per_session_threads = False
        else:
            # threads that spin after one network has run would take the cores from the next
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[*PROVIDERS])
        except Exception as error:  # onnxruntime has a dozen unrelated exception types for a bad file
            first = str(error).strip().partition("\n")[0]
            raise ModelError(f"{name}: not a network that onnxruntime can run ({first})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{name}: it has {len(inputs)} inputs instead of one")
        self._input: str = inputs[0].name
        self.outputs: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())
        properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.properties: Mapping[str, str] = MappingProxyType(properties)

    def __call__(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs, in the order of `outputs`, for a batch `values`."""
        answers: list[NDArray[Any]] = self._session.run(None, {self._input: values})
        return answers


@cache
def _share_threads() -> bool:
    """Make one pool of threads for all networks of this process, and say whether there is one.

    The networks of a cascade run in turn: with a pool for each, the threads wake up, or spin, in each
    other's way.
    """
    try:
        _onnxruntime().set_global_thread_pool_sizes(0, 1)
    except AttributeError:  # not every version of onnxruntime has it
        return False
    except Exception as error:
        return "already been created" in str(error)
    return True


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be loaded ({error}); reinstall it: pip install onnxruntime") from error
    return onnxruntime
