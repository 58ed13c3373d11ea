"""Errors of other people's packages that cannot be loaded, told from errors of mien."""

from __future__ import annotations

from types import TracebackType


def broken_package(error: BaseException) -> str | None:
    """Return what to install anew where `error` was raised as mien imported a package; None where it was not."""
    after = _after_mien(error.__traceback__)
    if after is not None and after.tb_frame.f_code.co_name == "<module>":
        return _as_installed(_package(after))
    if isinstance(error, ModuleNotFoundError) and error.name and after is None:
        package = error.name.partition(".")[0]
        return None if package == "mien" else _as_installed(package)
    return None


def _after_mien(traceback: TracebackType | None) -> TracebackType | None:
    """Return the first of what the last lines of mien have called; Python leaves its own importing out."""
    after: TracebackType | None = None
    while traceback is not None:
        if _package(traceback) == "mien":
            after = traceback.tb_next
        traceback = traceback.tb_next
    return after


def _package(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _as_installed(module: str) -> str:
    from importlib.metadata import packages_distributions

    return packages_distributions().get(module, [module])[0]
