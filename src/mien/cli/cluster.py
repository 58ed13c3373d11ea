"""`mien analyze --engine ray`: what of the verb's options makes sense there, and what the user sees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import typer

from mien.bulk.task import Settings
from mien.cli.counting import Counting
from mien.cli.interrupts import Interrupts
from mien.cli.listing import read_list
from mien.cli.messages import say
from mien.cluster import find_sources, refuse_streams, run
from mien.errors import SourceError, UsageError


def analyze_on_ray(
    sources: Sequence[str],
    listed: str | None,
    *,
    out: Sequence[str],
    address: str | None,
    settings: Settings,
    recursive: bool,
    overwrite: bool,
    quiet: bool,
    refused: Sequence[str],
) -> None:
    """Analyse on a cluster, and end with the exit status that says how it went.

    Args:
        sources: as the verb takes them.
        listed: a file that lists more of them, read as it is needed; None where there is none.
        out: the values of --out.
        address: of a Ray cluster; None starts one here.
        settings: of the analysis.
        recursive: look in the folders' folders too.
        overwrite: begin anew.
        quiet: show no progress.
        refused: options that were given and make no sense here.

    Raises:
        MienError: nothing could be started, or the results cannot be written.

    """
    if refused:
        raise UsageError(f"{refused[0]} is not for --engine ray, which writes a table of results and nothing else")
    if len(out) != 1 or Path(out[0].rstrip("/")).suffix.lower() != ".parquet":
        raise UsageError("--engine ray writes one folder of Parquet files: name it by --out NAME.parquet")
    if not sources and listed is None:
        raise UsageError("name pictures, films or folders, or a file that lists them by --list")
    refuse_streams(sources)
    failures: list[SourceError] = []

    def failed(error: SourceError) -> None:
        failures.append(error)
        say(str(error))

    named = itertools.chain(sources, () if listed is None else read_list(listed))
    interrupts = Interrupts()
    try:
        with interrupts, Counting(shown=not quiet) as counting:
            outcome = run(
                find_sources(named, recursive=recursive, failed=failed),
                out=out[0],
                settings=settings,
                address=address,
                overwrite=overwrite,
                failed=say,
                progress=lambda done, of, faces: counting("pictures and films", int(done), of),
            )
    except KeyboardInterrupt:
        say(f"interrupted; what is done so far is in {out[0]}, and the same command goes on")
        raise typer.Exit(130) from None
    if outcome.earlier:
        inputs = "1 input" if outcome.earlier == 1 else f"{outcome.earlier} inputs"
        say(f"{out[0]}: an earlier run could not read {inputs}; the column error tells why")
    if outcome.errors or failures:
        raise typer.Exit(1)
