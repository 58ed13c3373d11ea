"""`mien collect`: pictures for labels, from services that say whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.messages import say

if TYPE_CHECKING:
    from mien.collect.collecting import Report

_POLITE = "Politeness and limits"


def collect(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to collect into, or to go on in.")
    ],
    queries: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERIES", help="five, three, or a .toml file of labels and words; none with --imagenet."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Pictures a word, in place of what QUERIES says.")
    ] = None,
    imagenet: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="N pictures for each of the 1,000 labels of ImageNet."),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="openverse, wikimedia, ddgs or local; may be repeated, and results are taken in turn. "
            "Default: openverse and wikimedia.",
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Pictures of your own, for --provider local.")
    ] = None,
    licence: Annotated[
        str,
        typer.Option(
            help="open (all open ones), commercial or modification (those that allow it), or codes such as by,cc0."
        ),
    ] = "open",
    allow_unknown_licence: Annotated[
        bool, typer.Option("--allow-unknown-licence", help="Also pictures whose licence nobody states.")
    ] = False,
    contact: Annotated[
        str | None,
        typer.Option(
            envvar="MIEN_CONTACT",
            help="Your e-mail address or web page, sent with every request so that services can write to you.",
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed in earlier runs.")] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHA256|URL",
            help="Collect nothing: delete that picture, by its sha256, url or page in provenance.jsonl, and never "
            "fetch it again; may be repeated.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, rich_help_panel=_POLITE, help="Pictures to fetch at a time.")
    ] = 8,
    per_host: Annotated[
        int, typer.Option(min=1, rich_help_panel=_POLITE, help="Requests to one host at a time.")
    ] = 2,
    delay: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_POLITE,
            help="Seconds between two requests to one host. Default: 0.2, and 3 and 1 for searches by openverse and "
            "wikimedia.",
        ),
    ] = None,
    max_bytes: Annotated[
        float, typer.Option(rich_help_panel=_POLITE, help="Leave out pictures of more than so many million bytes.")
    ] = 20.0,
    max_pixels: Annotated[
        float, typer.Option(rich_help_panel=_POLITE, help="Leave out pictures of more than so many million pixels.")
    ] = 80.0,
    timeout: Annotated[
        float, typer.Option(rich_help_panel=_POLITE, help="Seconds within which a picture must be there.")
    ] = 30.0,
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private",
            rich_help_panel=_POLITE,
            help="Also reach addresses of this machine and its networks, such as a mirror of yours.",
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no summary: only what goes wrong.")
    ] = False,
) -> None:
    """Search for pictures of each label and fetch them, with a line of provenance for each.

    A run that was ended, by Ctrl-C or otherwise, goes on when the same command is given again: nothing is fetched
    twice. Proxies that the environment names are not used. The exit status is 0 when all providers answered, also
    where single pictures could not be fetched; 1 when one did not, or nothing was found; 2 when nothing could be
    started.
    """
    from mien.cli.collected import Bar, ended_like_ctrl_c, print_report
    from mien.collect.collecting import Request
    from mien.collect.collecting import collect as collect_pictures
    from mien.collect.licences import Licences
    from mien.collect.limits import Limits
    from mien.collect.providers.opening import DEFAULT
    from mien.collect.queries import imagenet_queries, read_queries, with_limit
    from mien.errors import UsageError, one_line

    if remove:
        from mien.collect.removing import remove as remove_pictures

        if queries is not None or imagenet is not None:
            raise UsageError("--remove takes the folder --out alone: leave out QUERIES and --imagenet")
        count = remove_pictures(out, remove)
        if not quiet:
            say(f"pictures deleted: {count}; data sets made of {one_line(str(out))} before still hold them")
        return
    if (queries is None) == (imagenet is None):
        raise UsageError("give QUERIES (five, three or a .toml file), or --imagenet N")
    if imagenet is not None and limit is not None:
        raise UsageError("--imagenet has its own number of pictures: leave out --limit")
    asked = imagenet_queries(imagenet) if imagenet is not None else read_queries(queries or "")
    request = Request(
        with_limit(asked, limit),
        tuple(provider or DEFAULT),
        licences=Licences(tuple(licence.split(",")), allow_unknown_licence),
        contact=contact,
        source=source,
    )
    limits = Limits(
        max_bytes=_millions("--max-bytes", max_bytes),
        max_pixels=_millions("--max-pixels", max_pixels),
        timeout=timeout,
        concurrency=concurrency,
        per_host=per_host,
        delay=delay,
        allow_private=allow_private,
    )
    with ended_like_ctrl_c(), Bar(shown=not quiet) as bar:
        report = collect_pictures(request, out, limits=limits, retry=retry, progress=bar.update)
    if not quiet:
        print_report(report)
    _end(report, out)


def _end(report: Report, out: Path) -> None:
    """Say what is left to do, and with which status."""
    from mien.errors import one_line

    for trouble in report.troubles:
        say(one_line(trouble))
    again = f"the same command goes on where it was; what is there is in {one_line(str(out))}"
    if report.ended:
        say(f"interrupted; {again}")
        raise typer.Exit(130)
    if report.troubles:
        say(f"not all was found: later {again}")
        raise typer.Exit(1)
    if not any(tally.kept for tally in report.labels.values()):
        say("no picture was found: try other words, more providers, or --licence open")
        raise typer.Exit(1)


def _millions(option: str, value: float) -> int:
    from mien.errors import UsageError

    if not 0 < value < 1e9:
        raise UsageError(f"{option} is a number of millions above 0")
    return max(1, round(value * 1e6))
