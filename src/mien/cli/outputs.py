"""What is planned to be written → open outputs; what is done leaves none of them in the middle of a result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mien.bulk.drawing import Copies, Drawing, is_file
from mien.bulk.journal import Journal
from mien.bulk.task import Input
from mien.cli.interrupts import Interrupted, Interrupts
from mien.cli.plan import Plan
from mien.emotions import Emotion
from mien.errors import OutputError, UsageError
from mien.results import Frame, Result
from mien.sinks import Csv, DeferredParquet, JsonLines, JsonList, Parquet, Records, Sink
from mien.sinks.pictures import check_folder


class Outputs:
    """All that is written of the inputs, one after the other.

    Attributes:
        journal: how far they have come; None where no other run could go on.
        failed: one of them could not be analysed.

    """

    def __init__(self, records: Sequence[Sink], drawing: Drawing, journal: Journal | None) -> None:
        """Take the sinks of records, what is to be drawn, and where to tell how far it has come."""
        self._records, self._drawing, self.journal = records, drawing, journal
        self._one: Input | None = None
        self._copies: Copies | None = None
        self.failed = journal is not None and journal.start.failed

    @property
    def kept(self) -> list[Path]:
        """The files that hold, under provisional names, what has been done."""
        drawn = [] if self._copies is None else self._copies.kept
        return [*drawn, *(path for sink in self._records for path in sink.kept)]

    def begin(self, one: Input) -> None:
        """It is the turn of an input; the one before it is complete.

        Raises:
            OutputError: that cannot be written.

        """
        self._finish()
        self._one, self._copies = one, Copies(self._drawing, one)

    def write(self, result: Result, frame: Frame | None) -> None:
        """Write one of its results.

        What draws comes first: what cannot be drawn as asked is found before any record is written.

        Raises:
            OutputError: it cannot be written.

        """
        if self._copies is not None:
            self._copies.write(result, frame)
        for sink in self._records:
            sink.write(result, frame)
        self.failed = self.failed or result.error is not None

    def close(self, *, complete: bool) -> list[OutputError | KeyboardInterrupt]:
        """Finish all outputs, whatever one of them says, and give complete ones their names; return what they say."""
        failures: list[OutputError | KeyboardInterrupt] = []

        def tried(step: Callable[[], None]) -> bool:
            try:
                step()
            except (OutputError, KeyboardInterrupt) as error:
                failures.append(error)
                return False
            return True

        if complete:
            # where the last copy is not whole, another run can go on there, and the records wait for it
            complete = tried(self._end) or self.journal is None
        elif self._copies is not None:
            tried(partial(self._copies.close, complete=False))
        for sink in self._records:
            tried(partial(sink.close, complete=complete))
        if self.journal is not None:
            self.journal.close(keep=bool(self.kept) or (not complete and self.journal.done > 0))
        return failures

    def _end(self) -> None:
        self._finish()
        if self.journal is not None:
            self.journal.end(failed=self.failed)

    def _finish(self) -> None:
        one, copies = self._one, self._copies
        if one is None or copies is None:
            return
        copies.close(complete=True)
        self._one = self._copies = None
        if self.journal is not None:
            self.journal.mark(one, failed=self.failed)


@contextmanager
def open_outputs(
    plan: Plan, *, emotions: Sequence[Emotion], run: Mapping[str, object], interrupts: Interrupts
) -> Iterator[Outputs]:
    """Open the outputs, and give them their final names on leaving without an error.

    Args:
        plan: what is to be written.
        emotions: of the scores.
        run: what must be the same for another run to go on with this one.
        interrupts: what the user may do meanwhile.

    Raises:
        UsageError: an output cannot be made.
        MissingExtraError: an output needs an optional part.
        Interrupted: the user has interrupted what is done with the outputs.

    """
    records: list[Sink] = []
    try:
        journal = None if plan.journal is None else Journal(plan.journal, run, plan.files, resume=plan.continuing)
    except OutputError as error:
        raise UsageError(str(error)) from error
    outputs = Outputs(records, plan.drawing, journal)
    try:
        try:
            folders = [out.parent if is_file(out) else out for out in plan.drawing.outs]
            for folder in [*folders, *([] if plan.drawing.crops is None else [plan.drawing.crops])]:
                check_folder(folder)
            sizes = iter([None] * len(plan.records) if journal is None else journal.start.sizes)
            for out in plan.records:
                after = None if out == "-" else next(sizes)
                if journal is None or not journal.promoted(Path(out)):
                    records.append(_records(out, emotions, plan, after))
        except OutputError as error:
            raise UsageError(str(error)) from error
        yield outputs
    except BaseException as error:  # what there is stays, under its provisional name
        with interrupts.finish():
            outputs.close(complete=False)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(outputs.kept) from error
        raise
    with interrupts.finish():
        failures = outputs.close(complete=True)
    if any(isinstance(failure, KeyboardInterrupt) for failure in failures):
        raise Interrupted(outputs.kept)
    if failures:
        raise failures[0]


def _records(out: str, emotions: Sequence[Emotion], plan: Plan, after: int | None) -> Sink:
    if out == "-":
        return Records(sys.stdout, JsonLines())
    path, suffix = Path(out), Path(out).suffix.lower()
    if suffix == ".parquet" and plan.resume:
        return DeferredParquet(path, emotions, overwrite=plan.overwrite, after=after)
    if suffix == ".parquet":
        return Parquet(path, emotions, overwrite=plan.overwrite)
    form = Csv(emotions) if suffix == ".csv" else JsonList() if suffix == ".json" else JsonLines()
    return Records(path, form, overwrite=plan.overwrite, after=after)
