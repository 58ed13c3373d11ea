"""The tasks of a partition, all done → its table: one cheap pass, in which the segments of films are joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import groupby

from mien.bulk.task import Settings
from mien.cluster.ledger import Ledger
from mien.cluster.parts import part_from_text, results_from_text
from mien.cluster.tasks import Task, plan
from mien.emotions import Emotion
from mien.results import Result
from mien.segments import Part, join
from mien.sinks.parquet import table, table_schema

_ROWS = 65536  # of a group in the file


def finish(ledger: Ledger, partition: int, settings: Settings, emotions: Sequence[Emotion]) -> list[str] | None:
    """Write a partition and return the errors in it; None where not all of its tasks are done."""
    tasks = plan(ledger, partition, settings)
    if {task.key for task in tasks} - ledger.done(partition):
        return None
    errors: list[str] = []
    schema = table_schema(emotions)
    with ledger.partition(partition) as (stream, counts):
        counts |= {"frames": 0, "faces": 0, "errors": 0}
        with import_module("pyarrow.parquet").ParquetWriter(stream, schema, compression="zstd") as writer:
            rows = []
            for result in _results(ledger, tasks, settings):
                counts["frames"] += result.error is None
                counts["faces"] += len(result.faces)
                if result.error is not None:
                    counts["errors"] += 1
                    errors.append(result.error)
                rows += result.to_rows()
                if len(rows) >= _ROWS:
                    writer.write_table(table(rows, schema))
                    rows = []
            if rows:
                writer.write_table(table(rows, schema))
    return errors


def _results(ledger: Ledger, tasks: Sequence[Task], settings: Settings) -> Iterator[Result]:
    for (_, segments), group in groupby(tasks, key=lambda task: (task.first, task.segment is not None)):
        if segments:
            parts: Iterator[Part] = (part_from_text(_work(ledger, task)) for task in group)
            yield from join(parts, smooth=settings.smooth)
        else:
            for task in group:
                yield from results_from_text(_work(ledger, task))


def _work(ledger: Ledger, task: Task) -> str:
    text = ledger.read_work(task.partition, task.key)
    assert text is not None
    return text
