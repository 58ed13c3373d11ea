"""The figures as JSON, and as a table beside those of an earlier run."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.clock import Row
from mien.evaluation.speed import machine

SCHEMA = 1
RESULTS = Path(__file__).parent / "results"


def to_json(rows: Sequence[Row], rate: float) -> dict[str, Any]:
    """Return a run as plain values: the machine, the commit, and the rows with their floors."""
    return {
        "schema": SCHEMA,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src")),
        "machine": machine(),
        "multiply_adds_per_second": round(rate),
        "rows": [{**_rounded(row), "floor": None if row.floor is None else round(row.floor, 3)} for row in rows],
    }


def last_run() -> Path | None:
    """Return the newest file in `results`; None where there is none."""
    return max(RESULTS.glob("*.json"), key=lambda path: json.loads(path.read_text("utf-8"))["when"], default=None)


def read_run(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of an earlier run by kind and what."""
    return {(row["kind"], row["what"]): row for row in json.loads(path.read_text("utf-8"))["rows"]}


def heading() -> str:
    """Return the line above the table."""
    return (
        f"{'':16}  {'':48}  {'median':>9}      {'least':>8} {'most':>9} {'CPU':>9} {'floor':>8} {'x':>5}  "
        f"{'a second':>9}  {'before':>9}"
    )


def line(row: Row, before: dict[str, Any] | None) -> str:
    """Return a line of the table; `before` is the same row of an earlier run."""
    floor = row.floor
    times = "" if floor is None else f"{row.value / floor:.1f}"
    change = ""
    if before is not None:
        change = f"{before['value']:9.2f}" + (
            f" ({row.value / before['value'] - 1:+z.0%})" if before["value"] else ""
        )
    return (
        f"{row.kind:16}  {row.what:48}  {row.value:9.2f} {row.unit:3}  {row.least:8.2f} {row.most:9.2f} "
        f"{_number(row.cpu)} {_number(floor, 8)} {times:>5}  {_number(row.rate)}  {change}"
    ).rstrip()


def _number(value: float | None, width: int = 9) -> str:
    return " " * width if value is None else f"{value:{width}.2f}"


def _rounded(row: Row) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
