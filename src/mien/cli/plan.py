"""The values of --out → what is to be written, and where: checked before anything is read or written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.bulk.drawing import PICTURES, Drawing, Existing, is_file, is_film
from mien.bulk.task import Input
from mien.errors import UsageError
from mien.sinks import FILMS, rows_name

_RECORDS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written.

    Attributes:
        records: files of records, or - for standard output.
        drawing: annotated copies and faces.
        overwrite: replace what exists.
        resume: records are written so that a run can go on with them; Parquet is then made at the end.
        journal: where it stands how far the run has come; None where another could not go on with it.
        continuing: this run goes on with an interrupted one.

    """

    records: tuple[str, ...]
    drawing: Drawing
    overwrite: bool
    resume: bool
    journal: Path | None
    continuing: bool

    @property
    def files(self) -> list[tuple[Path, Path]]:
        """The files of records: the final and the provisional name of each."""
        return [(Path(out), self._provisional(Path(out))) for out in self.records if out != "-"]

    def _provisional(self, path: Path) -> Path:
        return _partial(rows_name(path) if self.resume and path.suffix.lower() == ".parquet" else path)


def plan_outputs(
    outs: Sequence[str],
    *,
    crops: Path | None,
    blur: bool,
    overwrite: bool,
    resume: bool,
    files: bool,
    first: Sequence[Input],
    only: bool,
) -> Plan:
    """Return what is to be written, checked as far as that does not depend on all inputs.

    Args:
        outs: values of --out.
        crops: a folder for the faces, or None.
        blur: hide the faces in annotated pictures and films.
        overwrite: replace what exists.
        resume: go on with what an interrupted run has left.
        files: all inputs are, and can be read again.
        first: the first inputs.
        only: there are no others.

    Raises:
        UsageError: an output exists and `overwrite` is off, or makes no sense.

    """
    if "" in outs:
        raise UsageError("--out is empty: name a file, a folder, or - for standard output")
    if outs.count("-") > 1:
        raise UsageError("--out -: standard output can be asked for once")
    if "-" in outs and sys.stdout is None:
        raise UsageError("standard output is closed: name a file by --out")
    records = tuple(out for out in outs if _is_records(out))
    drawn = tuple(Path(out) for out in outs if not _is_records(out))
    for path, out in zip(drawn, (out for out in outs if not _is_records(out)), strict=True):
        _check_drawn(path, out, first, only=only)
    if blur and not drawn:
        raise UsageError("--blur is for annotated pictures and films: name one, or a folder for them, by --out")
    if blur and crops is not None:
        raise UsageError("--crops writes every face as it is, and --blur is to hide them: choose one")
    journal = _journal(records, drawn, crops, resume=resume) if files else None
    if resume and journal is None:
        raise UsageError(
            "--resume goes on with files: name pictures, films or folders, and files by --out or --crops"
        )
    continuing = resume and journal is not None and journal.exists()
    existing = Existing.REPLACE if overwrite else Existing.KEEP if continuing else Existing.REFUSE
    drawing = Drawing(outs=drawn, crops=crops, blur=blur, existing=existing)
    plan = Plan(records, drawing, overwrite, resume, journal, continuing)
    _check_files(plan, first)
    if crops is not None and existing is Existing.REFUSE and os.path.isdir(crops) and any(crops.iterdir()):
        raise UsageError(f"{crops}: there is something in it already; name another folder or pass --overwrite")
    return plan


def _check_drawn(path: Path, out: str, first: Sequence[Input], *, only: bool) -> None:
    if is_file(path):
        if len(first) > 1:
            kind, count = "film" if is_film(path) else "picture", len(first) if only else "so many"
            raise UsageError(f"{out}: one {kind} cannot hold {count}; name a folder, such as --out annotated/")
    elif path.suffix and not os.path.isdir(out) and not out.endswith(("/", os.sep)):
        known = ", ".join((*_RECORDS, *PICTURES, *FILMS))
        raise UsageError(f"{out}: cannot write {path.suffix.lower()} files; name a folder, or a file in {known}")


def _journal(records: Sequence[str], drawn: Sequence[Path], crops: Path | None, *, resume: bool) -> Path | None:
    """Return where the journal is: beside the first output that is a file, or in the first that is a folder."""
    tables = [Path(out) for out in records if out != "-"]
    if "-" in records or (not resume and any(path.suffix.lower() == ".parquet" for path in tables)):
        return None
    if files := tables + [path for path in drawn if is_file(path)]:
        return files[0].with_name(files[0].name + ".partial.run")
    folders = [*drawn, *([crops] if crops is not None else [])]
    return folders[0] / "mien.partial.run" if folders else None


def _check_files(plan: Plan, first: Sequence[Input]) -> None:
    """Check the files of records, and pictures and films that are one file; `refuse_clashes` does so for folders."""
    files = [final for final, _ in plan.files]
    single = [out for out in plan.drawing.outs if is_file(out)]
    read = {os.path.realpath(one.source) for one in first if isinstance(one.source, Path)}
    seen: set[str] = set()
    for path in files + single:
        real = os.path.realpath(path)
        if real in read:
            raise UsageError(f"{path}: it is one of the pictures or films to analyse; name another output")
        if real in seen:
            raise UsageError(f"{path}: two outputs would go there")
        seen.add(real)
    if folder := next((path for path in files if os.path.isdir(path)), None):
        raise UsageError(f"{folder}: it is a folder; records need a file")
    refuse_existing(plan, single)
    _refuse_left(plan)
    refuse_existing(plan, files)


def refuse_existing(plan: Plan, targets: Iterable[Path]) -> None:
    """Refuse to replace files that exist, whole or not, unless the user has asked for that or goes on with them.

    Raises:
        UsageError: one of `targets` exists, or a file is left of it by an interrupted run.

    """
    existing: list[Path] = []
    left: list[Path] = []
    more = 0
    for target in targets:
        if plan.overwrite or plan.continuing:
            continue
        if os.path.lexists(target):
            more += bool(existing)
            existing = existing or [target]
        elif not left and os.path.lexists(_partial(target)):
            left = [_partial(target)]
    if existing:
        told = f" (and {more} more)" if more else ""
        raise UsageError(f"{existing[0]}{told}: it exists already; name another output or pass --overwrite")
    if left:
        raise _left(left[0], plan)


def _refuse_left(plan: Plan) -> None:
    """Refuse to forget an interrupted run, unless the user has asked for that or goes on with it."""
    if plan.overwrite or plan.continuing:
        return
    files = [*(partial for _, partial in plan.files), *(_partial(final) for final, _ in plan.files)]
    left = next((path for path in files if os.path.lexists(path)), None)
    if plan.journal is not None and plan.journal.exists():
        raise UsageError(
            f"{left or plan.journal}: left by an interrupted run; go on with it by --resume, or pass --overwrite"
        )
    if left is not None:
        raise _left(left, plan)


def _left(path: Path, plan: Plan) -> UsageError:
    more = " that cannot be continued" if plan.resume else ""
    return UsageError(f"{path}: left by an interrupted run{more}; move it away or pass --overwrite")


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _is_records(out: str) -> bool:
    return out == "-" or Path(out).suffix.lower() in _RECORDS
