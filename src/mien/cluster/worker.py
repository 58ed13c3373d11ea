"""What runs in the actors of the pool: one Analyzer each, and a task at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.bulk.task import Settings
from mien.cluster.ledger import Ledger
from mien.cluster.parts import part_to_text, results_to_text
from mien.cluster.places import opened
from mien.cluster.tasks import Task
from mien.errors import SourceError
from mien.results import Result


class Worker:
    """Does tasks, and leaves what it has found in the folder of the output: to do one twice does no harm."""

    def __init__(self, ledger: Ledger, settings: Settings, model: bytes | None) -> None:
        """Load the models.

        Args:
            ledger: of the output.
            settings: of the run.
            model: content of the classifier's file; None where it is one that every installation has.

        """
        self._settings, self._ledger = settings, ledger
        with tempfile.TemporaryDirectory() as folder:
            path = None
            if model is not None:
                path = Path(folder) / Path(settings.model).name
                path.write_bytes(model)
            self._analyzer = settings.open(model=path, threads=1)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Do a batch of tasks, given as text in the column `task`; an empty one is none. Tell how far this is."""
        done: dict[str, list[Any]] = {"partition": list(batch["partition"]), "of": list(batch["of"])}
        done |= {"sources": [], "faces": []}
        for text in batch["task"]:
            task = Task.from_json(text) if text else None
            done["sources"].append(0.0 if task is None else task.sources)
            done["faces"].append(0 if task is None else self._do(task))
        return done

    def _do(self, task: Task) -> int:
        """Do a task and return how many faces were found."""
        if task.segment is None:
            results = [result for name in task.names for result in self._found(name)]
            self._ledger.write_work(task.partition, task.key, results_to_text(results))
            return sum(len(result.faces) for result in results)
        (name,) = task.names
        with opened(name, self._ledger.base) as source:
            part = self._analyzer.analyze_segment(
                source,
                task.segment,
                name=name,
                selection=self._settings.selection,
                detect_every=self._settings.detect_every,
            )
        if not part.exact:
            self._ledger.set_whole(task.partition, task.first)
        self._ledger.write_work(task.partition, task.key, part_to_text(part))
        return sum(len(result.faces) for result in part.results)

    def _found(self, name: str) -> Iterator[Result]:
        try:
            with opened(name, self._ledger.base) as source:
                stream = self._analyzer.stream_media(
                    [(name, source)],
                    selection=self._settings.selection,
                    smooth=self._settings.smooth,
                    detect_every=self._settings.detect_every,
                )
                for _, result in stream:
                    yield result
        except SourceError as error:
            yield Result(name, 0, None, None, None, self._analyzer.model, error=str(error))
