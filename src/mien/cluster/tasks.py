"""A partition of the sources → tasks: some pictures each, or one segment of a film."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import groupby

from mien.bulk.task import Settings
from mien.cluster.ledger import Ledger
from mien.cluster.places import is_film, opened
from mien.errors import SourceError
from mien.sources import Segment, find_segments
from mien.sources.selection import Picked

PICTURES = 64
"""Pictures of a task: a second or two of work."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does at a time.

    Attributes:
        partition: number of the partition that it belongs to.
        first: number, in the partition, of the first of its sources.
        names: of the pictures, or of the one film.
        segment: of the film; None for pictures, and films that are analysed as a whole.
        number: of the segment among those of the film, from 0.
        of: how many there are.

    """

    partition: int
    first: int
    names: tuple[str, ...]
    segment: Segment | None = None
    number: int = 0
    of: int = 1

    @property
    def key(self) -> str:
        """What its work is kept under: in the order of the sources, and of the segments of each."""
        return f"{self.first:06}-{'whole' if self.segment is None else format(self.number, '06')}"

    @property
    def sources(self) -> float:
        """How many sources it is, a segment being a part of one."""
        return len(self.names) / self.of

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Return the task of which `to_json` gave the text."""
        values = json.loads(text)
        segment = values.pop("segment")
        if segment is not None:
            segment = Segment(**{**segment, "picked": Picked(**segment["picked"])})
        return cls(**{**values, "names": tuple(values["names"])}, segment=segment)


def plan(ledger: Ledger, partition: int, settings: Settings) -> list[Task]:
    """Return the tasks of a partition, in the order of its sources; films are read once to find their segments.

    A plan once made is kept, but for films of which segments turned out not to tell what the whole does.
    """
    if (kept := ledger.read_work(partition, "plan")) is not None:
        tasks = [Task.from_json(line) for line in kept.splitlines()]
    else:
        tasks = _made(ledger, partition, settings)
    whole = ledger.whole(partition)
    planned = [
        task if task.first not in whole else Task(partition, task.first, task.names)
        for task in tasks
        if task.first not in whole or task.number == 0
    ]
    if kept is None or planned != tasks:
        ledger.write_work(partition, "plan", "\n".join(task.to_json() for task in planned))
    return planned


def _made(ledger: Ledger, partition: int, settings: Settings) -> list[Task]:
    tasks: list[Task] = []
    for film, group in groupby(enumerate(ledger.names(partition)), key=lambda one: is_film(one[1])):
        sources = list(group)
        if film:
            for first, name in sources:
                tasks += _of_film(ledger, partition, first, name, settings)
        else:
            for start in range(0, len(sources), PICTURES):
                some = sources[start : start + PICTURES]
                tasks.append(Task(partition, some[0][0], tuple(name for _, name in some)))
    return tasks


def _of_film(ledger: Ledger, partition: int, first: int, name: str, settings: Settings) -> list[Task]:
    try:
        with opened(name, ledger.base) as source:
            segments = find_segments(source, name=name, max_pixels=settings.max_pixels, selection=settings.selection)
    except SourceError:
        segments = []  # to analyse it says what is wrong
    if not segments:
        return [Task(partition, first, (name,))]
    return [
        Task(partition, first, (name,), segment, number, len(segments)) for number, segment in enumerate(segments)
    ]
