"""Ray, quiet: no dashboard, nothing told to its makers, and on one machine nothing open to the network."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mien.errors import MissingExtraError, UsageError, one_line

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_PATIENCE = 10.0  # seconds
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # Ray's way to say: listen on loopback only


@contextmanager
def started(address: str | None) -> Iterator[Any]:
    """Yield the module `ray`, connected for as long as the context lasts.

    Where it is connected already, it is used and left as it is. Otherwise a cluster of this machine's cores is
    started, and ended in the end.

    Args:
        address: of a cluster that runs, as `ray start` shows it, or `auto`; None starts one here.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: there is no cluster at the address.

    """
    ray = load(address)
    if ray.is_initialized():
        yield ray
        return
    alone: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    try:
        if address is not None:
            _knock(address)
        with _hushed():
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (OSError, ValueError, RuntimeError) as error:
        at = (
            "Ray cannot be started"
            if address is None
            else f"--address {address}: no Ray cluster can be reached there"
        )
        raise UsageError(f"{at} ({one_line(str(error).strip().partition(chr(10))[0])})") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Try whether anybody is at an address; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


@contextmanager
def _hushed() -> Iterator[None]:
    """Let nothing through that is written to standard error past Python: what is wrong, an exception says."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def load(address: str | None = None) -> Any:
    """Return the module `ray`, with Ray Data.

    Args:
        address: as in `started`: what Ray reads of its environment depends on it, and it reads that only once.

    Raises:
        MissingExtraError: it is not installed.

    """
    for name, value in {**_QUIET, **({} if address else _ALONE)}.items():
        os.environ.setdefault(name, value)
    try:
        # by its name only, so that types are checked alike whether it is installed or not
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray") from error
    warnings.filterwarnings("ignore", module=r"ray\.")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return ray
