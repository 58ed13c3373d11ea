"""Sources → tasks → answers, as a pipeline of Ray Data; and the partitions of the table, each as it is ready."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.bulk.task import Settings
from mien.cluster.finishing import finish
from mien.cluster.ledger import Ledger
from mien.cluster.places import is_film
from mien.cluster.settings import described
from mien.cluster.starting import load, started
from mien.cluster.tasks import PICTURES, plan
from mien.cluster.worker import Worker
from mien.emotions import Emotion
from mien.errors import MienError, ModelError, OutputError, one_line
from mien.models.store import read_model, registry

# Shares of a core: an actor of the pool computes, the others read a little and wait. Together they are one core, so
# that every core has an actor, and no machine of a usual size has more of them than cores.
_COMPUTING, _PLANNING, _FINISHING = 0.98, 0.01, 0.01

_ROUNDS = 3  # a film that has to be analysed as a whole after all is, in the second


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in the table.

    Attributes:
        sources: how many pictures and films were asked for in this run, and not done before.
        errors: how many could not be read, of all that are in the table.
        earlier: how many of those an earlier run has told already.

    """

    sources: int
    errors: int
    earlier: int


def run(
    sources: Iterable[str],
    *,
    out: str,
    settings: Settings,
    address: str | None = None,
    overwrite: bool = False,
    failed: Callable[[str], None] = lambda error: None,
    progress: Callable[[float, int, int], None] = lambda sources, of, faces: None,
) -> Outcome:
    """Analyse `sources`, and write what is in them to a folder of Parquet files: the rows of `mien.Analyzer.stream`.

    What an earlier run has left there stays, and only what is missing is done. Ended midway, in whatever way, it can
    be run again.

    Args:
        sources: names of pictures and films: paths, or URIs that pyarrow opens; they are taken one at a time.
        out: the folder, which all nodes can reach: a path, or such a URI.
        settings: of the analysis.
        address: of a Ray cluster that runs; None starts one with the cores of this machine.
        overwrite: begin anew in a folder that is there.
        failed: is told of each picture and film that cannot be read.
        progress: is told how many sources are done, of how many, and how many faces were found.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the folder holds something else, or no cluster is at the address.
        ModelError: the model cannot be used.
        OutputError: the results cannot be written, or Ray has given up.

    """
    load(address)
    analyzer = settings.open()
    ledger = Ledger(out)
    ledger.begin(described(settings, analyzer), overwrite=overwrite)
    ledger.add(sources)
    missing = ledger.missing()
    total = sum(len(ledger.names(partition)) for partition in missing)
    told = 0

    def tell(error: str) -> None:
        nonlocal told
        told += 1
        failed(error)

    if missing:
        with started(address) as ray:
            run = _Run(
                ray, ledger, settings, analyzer.emotions, tell, lambda done, faces: progress(done, total, faces)
            )
            for _ in range(_ROUNDS):
                if missing:
                    run.round(missing)
                    missing = ledger.missing()
        if missing:
            raise OutputError(f"{out}: {len(missing)} partitions could not be finished; the same command goes on")
    ledger.end()
    errors = sum(ledger.counts(partition).get("errors", 0) for partition in ledger.partitions())
    return Outcome(total, errors, errors - told)


class _Run:
    def __init__(
        self,
        ray: Any,
        ledger: Ledger,
        settings: Settings,
        emotions: Sequence[Emotion],
        failed: Callable[[str], None],
        progress: Callable[[float, int], None],
    ) -> None:
        self._ray, self._ledger, self._settings, self._emotions = ray, ledger, settings, emotions
        self._failed, self._progress = failed, progress
        known = settings.model in registry()
        self._model = None if known else read_model(settings.model).content
        self._finish = ray.remote(num_cpus=_FINISHING, max_retries=3)(finish)
        self._finishing: list[Any] = []
        self._done, self._faces = 0.0, 0

    def round(self, missing: Sequence[int]) -> None:
        """Do all tasks of partitions that are not done, and finish those of which then none is left."""
        tasks: Counter[int] = Counter()
        try:
            for block in self._answers(missing):
                for partition, of, sources, faces in zip(*(block[name].tolist() for name in _ANSWERS), strict=True):
                    tasks[partition] += 1
                    self._done, self._faces = self._done + sources, self._faces + faces
                    if tasks[partition] == of:
                        self._finishing.append(
                            self._finish.remote(self._ledger, partition, self._settings, self._emotions)
                        )
                self._progress(self._done, self._faces)
                self._collect(timeout=0)
            while self._finishing:
                self._collect(timeout=None)
        except self._ray.exceptions.RayError as error:
            raise self._explained(error) from None

    def _answers(self, missing: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.target_max_block_size = 1  # bytes: each task is a block of its own, and so goes to any actor
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        partitions = data.from_items([{"partition": number} for number in missing], override_num_blocks=len(missing))
        tasks = partitions.map_batches(
            _Planning(self._ledger, self._settings),
            batch_size=1,
            num_cpus=_PLANNING,
            concurrency=min(cores, len(missing)),
        )
        answers = tasks.map_batches(
            Worker,
            batch_size=1,
            fn_constructor_args=(self._ledger, self._settings, self._model),
            num_cpus=_COMPUTING,
            compute=data.ActorPoolStrategy(size=self._useful(missing, cores), max_tasks_in_flight_per_actor=2),
        )
        blocks: Iterator[Mapping[str, Any]] = iter(answers.iter_batches(batch_size=None, prefetch_batches=0))
        return blocks

    def _useful(self, missing: Sequence[int], cores: int) -> int:
        """Return how many actors have something to do, at most one for each core."""
        tasks = 0
        for partition in missing[:cores]:
            names = self._ledger.names(partition)
            tasks += cores if any(map(is_film, names)) else math.ceil(len(names) / PICTURES)
        return max(1, min(cores, tasks))

    def _collect(self, *, timeout: float | None) -> None:
        if not self._finishing:
            return
        ready, self._finishing = self._ray.wait(self._finishing, num_returns=1, timeout=timeout)
        for errors in self._ray.get(ready):
            for error in errors or ():
                self._failed(error)

    def _explained(self, error: BaseException) -> MienError:
        """Return what went wrong in a worker, on one line."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MienError) and not isinstance(cause, self._ray.exceptions.RayError):
                first = str(cause).partition("\n")[0]  # advice on settings of Ray's follows
                return ModelError(first) if isinstance(cause, ModelError) else OutputError(first)
            cause = getattr(cause, "cause", None) or cause.__cause__
        last = str(error).strip().splitlines()[-1]
        return OutputError(f"{self._ledger.out}: Ray has given up ({one_line(last)}); the same command goes on")


_ANSWERS = ("partition", "of", "sources", "faces")


@dataclass(frozen=True, slots=True)
class _Planning:
    """Yields the tasks of a partition that are left; one that is empty where none is."""

    ledger: Ledger
    settings: Settings

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
        for partition in batch["partition"].tolist():
            tasks = plan(self.ledger, partition, self.settings)
            done = self.ledger.done(partition)
            left = [task.to_json() for task in tasks if task.key not in done] or [""]
            for text in left:
                yield {"partition": [partition], "of": [len(left)], "task": [text]}
