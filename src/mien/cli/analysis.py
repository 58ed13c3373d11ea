"""What `mien analyze` does once its options are read: inputs through one process or several to outputs and people."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import mien
from mien.bulk.drawing import is_file
from mien.bulk.task import Input, Settings, Steps
from mien.cli.inputs import Inputs
from mien.cli.interrupts import Interrupted, Interrupts
from mien.cli.messages import say
from mien.cli.outputs import Outputs, open_outputs
from mien.cli.places import refuse_clashes
from mien.cli.plan import Plan, plan_outputs
from mien.cli.progress import Progress
from mien.cli.telling import Telling
from mien.errors import SourceError, UsageError
from mien.models.session import cores
from mien.sources.folder import SUFFIXES
from mien.timeline import read_results

if TYPE_CHECKING:
    from mien.analyzer import Analyzer
    from mien.results import Result

_MANY = 100
"""Pictures from which on processes are worth what it takes to start them, unless somebody says how many."""

_MOST = 8  # processes, where nobody says how many: each takes some 150 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for; the attributes are the options of the verb."""

    sources: Sequence[str]
    listed: str | None
    recursive: bool
    outs: Sequence[str]
    crops: Path | None
    blur: bool
    overwrite: bool
    resume: bool
    workers: int | None
    summary: bool
    quiet: bool
    verbose: bool
    settings: Settings


def run_analysis(request: Request) -> int:
    """Do what is asked, and return the exit status.

    Raises:
        MienError: nothing could be started, or an output cannot be written.

    """
    failures: list[SourceError] = []

    def failed(error: SourceError) -> None:
        failures[:] = [error]
        say(str(error))  # on one line already, as every SourceError

    folders = [*request.outs, *([str(request.crops)] if request.crops is not None else [])]
    inputs = Inputs(request.sources, listed=request.listed, recursive=request.recursive, outs=folders)
    if not inputs.files and request.workers not in (None, 1):
        raise UsageError("--workers shares out files: leave it out for cameras, streams and standard input")
    stream = inputs.each(failed)
    first = list(itertools.islice(stream, _MANY))
    if not first:
        return 1
    workers = _workers(request, first) if inputs.files else 1
    analyzer = request.settings.open()
    if request.verbose:
        say(f"{analyzer.model}, faces by {request.settings.detector}, {', '.join(analyzer.emotions)}")
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    wanted = request.outs or ([] if on_terminal or request.crops is not None else ["-"])
    plan = _plan(request, wanted, inputs, first)
    progress = Progress(
        len(first) if len(first) < _MANY else None,
        request.settings.selection,
        count=None if inputs.piped else lambda: sum(1 for _ in inputs),
        shown=not (request.quiet or request.verbose),
    )
    table = on_terminal and not request.quiet and "-" not in wanted
    telling = Telling(progress, table=table, summary=request.summary, verbose=request.verbose)
    interrupts = Interrupts()
    opening = open_outputs(plan, emotions=analyzer.emotions, run=_run(request, analyzer), interrupts=interrupts)
    try:
        with interrupts, opening as outputs, progress:
            left: Iterator[Input] = itertools.chain(first, stream)
            if outputs.journal is not None and (done := outputs.journal.start.done):
                left = outputs.journal.skipped(left)
                telling.recall(_recalled(plan, request.summary), inputs=done)
            if workers > 1:
                from mien.bulk.pool import Pool

                pool = Pool(request.settings, plan.drawing, workers=workers, model=analyzer.model)
                steps = pool.steps(left)
            else:
                steps = request.settings.analyse(analyzer, left, opened=progress.open)
            try:
                _go(steps, outputs, telling, interrupts)
            except KeyboardInterrupt:
                if not progress.live:  # what has no end of its own is whole when somebody ends it
                    raise
                say("stopped")
    except Interrupted as interrupted:
        say(_interrupted(interrupted, resumable=plan.journal is not None and plan.journal.exists()))
        return 130
    telling.end(piped="-" in plan.records)
    return int(outputs.failed or bool(failures))


def _go(steps: Steps, outputs: Outputs, telling: Telling, interrupts: Interrupts) -> None:
    with closing(steps):
        for step in steps:
            with interrupts.pause():
                if step.result is None:
                    outputs.begin(step.one)
                    telling.begin()
                else:
                    outputs.write(step.result, step.frame)
                    telling.add(step.result)


def _plan(request: Request, wanted: Sequence[str], inputs: Inputs, first: Sequence[Input]) -> Plan:
    """Return what is to be written, checked."""
    plan = plan_outputs(
        wanted,
        crops=request.crops,
        blur=request.blur,
        overwrite=request.overwrite,
        resume=request.resume,
        files=inputs.files,
        first=first,
        only=len(first) < _MANY,
    )
    if inputs.piped or (all(map(is_file, plan.drawing.outs)) and request.crops is None):
        return plan
    refuse_clashes(plan, inputs)
    return replace(plan, drawing=replace(plan.drawing, checked=True))


def _workers(request: Request, first: Sequence[Input]) -> int:
    """Return how many processes are to work on inputs that begin with `first`; one is this one."""
    asked = request.workers
    if asked is not None and asked < 1:
        raise UsageError(f"--workers is {asked}: it is a number of processes, 1 or more")
    if asked is not None:
        return min(asked, len(first))
    # a single accelerator would only have them wait for each other
    stills = request.settings.device == "cpu" and all(one.relative.suffix.lower() in SUFFIXES for one in first)
    return min(cores(), _MOST) if stills and len(first) == _MANY else 1


def _run(request: Request, analyzer: Analyzer) -> dict[str, object]:
    """Return what must be the same for a run to go on with another, by the names of the options."""
    return {
        "mien": mien.__version__,
        **asdict(request.settings),
        "model": analyzer.model,
        "SOURCE": [*request.sources],
        "list": request.listed,
        "recursive": request.recursive,
        "out": [*request.outs],
        "crops": None if request.crops is None else str(request.crops),
        "blur": request.blur,
        "overwrite": request.overwrite,
    }


def _recalled(plan: Plan, summary: bool) -> Iterator[Result]:
    """Yield what the run that is continued has found, where somebody wants to hear of it."""
    for final, partial in plan.files[: int(summary)]:
        yield from read_results(partial if partial.exists() else final)


def _interrupted(interrupted: Interrupted, *, resumable: bool) -> str:
    told = "interrupted"
    if interrupted.kept:
        told += f"; what is done so far is in {', '.join(map(str, interrupted.kept))}"
    if resumable:
        again = [word for word in sys.argv[1:] if word != "--resume"]
        told += f"; to go on: {shlex.join(['mien', *again, '--resume'])}"
    return told
