"""One thing timed: on the clock, in processor time, and beside it the least that it could take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured.

    Attributes:
        kind: the group it stands in.
        what: in words; with `kind` it is the same in every run.
        unit: of the values: `ms`, `MiB` or `%`.
        value: the median of the runs.
        least, most: of the runs.
        runs: how many.
        rate: faces, pictures or frames a second; None where that makes no sense.
        faces: found, or classified at once; None where that is not the point.
        cpu: median of the processor time of all threads, in ms.
        arithmetic: the networks' multiply-adds over the rate of a large matrix product, in ms.
        decoding: median time of decoding alone, in ms.

    """

    kind: str
    what: str
    unit: str
    value: float
    least: float
    most: float
    runs: int
    rate: float | None = None
    faces: int | None = None
    cpu: float | None = None
    arithmetic: float | None = None
    decoding: float | None = None

    @property
    def floor(self) -> float | None:
        """The least that it could take, in ms: arithmetic at full rate, and decoding."""
        parts = [part for part in (self.arithmetic, self.decoding) if part is not None]
        return sum(parts) if parts else None


def row(kind: str, what: str, values: Sequence[float], unit: str) -> Row:
    """Return the median of some values."""
    return Row(kind, what, unit, statistics.median(values), min(values), max(values), len(values))


def timed(kind: str, what: str, work: Callable[[], object], runs: int, *, items: int = 1) -> Row:
    """Return the time that `work` takes for each of its `items`, after a first run that does not count."""
    work()
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpus.append(1000.0 * (time.process_time() - cpu) / items)
        walls.append(1000.0 * (time.perf_counter() - wall) / items)
    measured = row(kind, what, walls, "ms")
    return replace(measured, cpu=statistics.median(cpus), rate=1000.0 / measured.value)
