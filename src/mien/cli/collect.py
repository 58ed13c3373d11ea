"""`mien collect`: pictures for labels, from services that say whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import completion
from mien.cli.manners import AllowPrivate, Concurrency, Delay, MaxBytes, MaxPixels, PerHost, Timeout, millions
from mien.cli.messages import say
from mien.limits import MAX_PIXELS

if TYPE_CHECKING:
    from mien.collect.collecting import Report
    from mien.collect.limits import Limits
    from mien.collect.queries import Query
    from mien.collect.request import Request


def collect(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to collect into, or to go on in.")
    ],
    queries: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERIES",
            autocompletion=completion.queries,
            help="five, three, or a .toml file of labels and words; none with --imagenet.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N pictures for each word, instead of what QUERIES says."),
    ] = None,
    imagenet: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="N pictures for each of the 1,000 labels of ImageNet."),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.providers,
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
            metavar="LICENCES",
            autocompletion=completion.licences,
            help="open (all open ones), commercial or modification (those that allow it), or codes such as by,cc0.",
        ),
    ] = "open",
    allow_unknown_licence: Annotated[
        bool, typer.Option("--allow-unknown-licence", help="Also pictures whose licence nobody states.")
    ] = False,
    contact: Annotated[
        str | None,
        typer.Option(
            metavar="WHO",
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
    concurrency: Concurrency = 8,
    per_host: PerHost = 2,
    delay: Delay = None,
    max_bytes: MaxBytes = 20.0,
    max_pixels: MaxPixels = MAX_PIXELS / 1e6,
    timeout: Timeout = 30.0,
    allow_private: AllowPrivate = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar and no summary: only what goes wrong.")
    ] = False,
) -> None:
    """Fetch pictures of each label from the web, with their licences.

    Where each picture came from, and on what terms it may be used, is kept in provenance.jsonl. A run that was ended,
    by Ctrl-C or otherwise, goes on when the same command is given again: nothing is fetched twice. Proxies that the
    environment names are used by ddgs alone, for its searches.

    The exit status is 0 when all providers answered, also where single pictures could not be fetched; 1 when one did
    not, or nothing was found; 2 when nothing could be started.

    Examples:
        mien collect five --out web/ --contact you@example.org
        mien collect queries.toml --provider local --from photos/ --out mine/
    """
    from mien.collect.licences import Licences
    from mien.collect.limits import Limits
    from mien.collect.providers.opening import DEFAULT
    from mien.collect.request import Request

    if remove:
        _remove(out, remove, nothing_else=queries is None and imagenet is None, quiet=quiet)
        return
    request = Request(
        _queries(queries, imagenet, limit),
        tuple(provider or DEFAULT),
        licences=Licences(tuple(licence.split(",")), allow_unknown_licence),
        contact=contact,
        source=source,
    )
    limits = Limits(
        max_bytes=millions("--max-bytes", max_bytes),
        max_pixels=millions("--max-pixels", max_pixels),
        timeout=timeout,
        concurrency=concurrency,
        per_host=per_host,
        delay=delay,
        allow_private=allow_private,
    )
    _collect(request, out, limits, retry=retry, quiet=quiet)


def _remove(out: Path, names: Sequence[str], *, nothing_else: bool, quiet: bool) -> None:
    from mien.collect.removing import remove
    from mien.errors import UsageError, one_line

    if not nothing_else:
        raise UsageError("--remove takes the folder --out alone: leave out QUERIES and --imagenet")
    count = remove(out, names)
    if not quiet:
        say(f"pictures deleted: {count}; data sets made of {one_line(str(out))} before still hold them")


def _queries(name: str | None, imagenet: int | None, limit: int | None) -> tuple[Query, ...]:
    from mien.collect.queries import imagenet_queries, read_queries, with_limit
    from mien.errors import UsageError

    if imagenet is not None and name is None:
        if limit is not None:
            raise UsageError("--imagenet has its own number of pictures: leave out --limit")
        return imagenet_queries(imagenet)
    if imagenet is not None or name is None:
        raise UsageError("give QUERIES (five, three or a .toml file), or --imagenet N")
    return with_limit(read_queries(name), limit)


def _collect(request: Request, out: Path, limits: Limits, *, retry: bool, quiet: bool) -> None:
    from mien.cli.collected import Collecting, ended_like_ctrl_c, print_report
    from mien.collect.collecting import collect

    with ended_like_ctrl_c(), Collecting(shown=not quiet) as bar:
        report = collect(request, out, limits=limits, retry=retry, progress=bar.update)
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
