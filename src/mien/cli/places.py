"""Checks, before the first is made, that copies of inputs get in nobody's way; eight bytes are held for each."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.bulk.task import Input
from mien.cli.plan import Plan, refuse_existing
from mien.errors import UsageError


def refuse_clashes(plan: Plan, inputs: Iterable[Input]) -> None:
    """Refuse to write one file twice, or over what is read, whatever --overwrite says.

    Args:
        plan: what is to be written.
        inputs: all; they are gone through once, and again where something is wrong.

    Raises:
        UsageError: it would happen; or a copy exists, and the user has not asked to replace it.

    """
    written, read = array("q"), array("q")

    def targets() -> Iterator[Path]:
        for one in inputs:
            if isinstance(one.source, Path):
                read.append(hash(os.path.realpath(one.source)))
            for target in _targets(plan, one):
                written.append(hash(os.path.realpath(target)))
                yield target

    refuse_existing(plan, targets())
    if doubtful := _doubtful(np.frombuffer(written, np.int64), np.frombuffer(read, np.int64)):
        _tell(plan, inputs, doubtful)


def _doubtful(written: NDArray[np.int64], read: NDArray[np.int64]) -> set[int]:
    """Return the hashes that are twice in `written`, or in both; `written` is sorted in place."""
    if not len(written):
        return set()
    written.sort()
    places = np.minimum(np.searchsorted(written, read), len(written) - 1)
    return {*written[1:][written[1:] == written[:-1]].tolist(), *read[written[places] == read].tolist()}


def _targets(plan: Plan, one: Input) -> list[Path]:
    crops = plan.drawing.crops
    return [*plan.drawing.targets(one), *([] if crops is None else [crops / one.relative])]


def _tell(plan: Plan, inputs: Iterable[Input], doubtful: set[int]) -> None:
    """Raise what is wrong with the files of those hashes, if anything is."""
    read: set[str] = set()
    written: dict[str, tuple[str, Path]] = {}
    for one in inputs:
        if isinstance(one.source, Path) and hash(real := os.path.realpath(one.source)) in doubtful:
            read.add(real)
        own: set[str] = set()
        for target in _targets(plan, one):
            real = os.path.realpath(target)
            if hash(real) not in doubtful:
                continue
            if real in own:
                raise UsageError(f"{target}: two outputs would go there")
            own.add(real)
            other, _ = written.setdefault(real, (one.name, target))
            if other != one.name:
                raise UsageError(
                    f"{target}: both {other} and {one.name} would go there; name the folder that holds both"
                )
    for real, (_, target) in written.items():
        if real in read:
            raise UsageError(f"{target}: it is one of the pictures or films to analyse; name another output")
