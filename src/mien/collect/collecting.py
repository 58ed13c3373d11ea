"""The loop: queries one after the other, their results fetched a few at a time, each noted as soon as it is known.

Within a query no more fetches are begun than pictures are still wanted, so which pictures are kept does not depend on
which host answers first: they are the distinct ones at the beginning of the results. Fetches that wait for their host
leave their place to others, but still count among those begun. Only a host that is left alone changes what a run
keeps: later results take the place of its pictures, until a run in which it answers puts them back.
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from mien.collect.collection import JOURNAL, PICTURES, PROVENANCE, QUERIES, Collected, write_whole
from mien.collect.failures import FetchError
from mien.collect.journal import Journal, Outcome, now
from mien.collect.licences import Licences
from mien.collect.limits import Limits
from mien.collect.pictures import Stored, remove_partial, remove_pictures, store_picture
from mien.collect.places import Places
from mien.collect.providers.opening import LOCAL, check_providers, open_providers
from mien.collect.providers.protocol import Found, Page, Provider, ProviderError, is_address
from mien.collect.queries import REQUEST, Query, parse_queries, write_queries
from mien.collect.results import Selected, Tally, as_collected, select
from mien.errors import DataError, UsageError
from mien.sinks.partial import writing

SILENCE = 20
"""Different hosts in a row that take no connection, after which a search finds out whether the network is down."""

_FILES = frozenset({QUERIES, PROVENANCE, JOURNAL, PICTURES, *(f"{name}.partial" for name in (QUERIES, PROVENANCE))})
_SHA256 = re.compile(rb'"sha256":\s*"([0-9a-f]{64})"')
_UNREACHED = ("bad address", "private address")
"""Reasons that say nothing of whether the network is there."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        queries: grouped by label.
        providers: names, in the order in which results are taken in turn.
        licences: that are wanted.
        contact: an address that is sent with each request; only folders can do without.
        source: the folder of the provider `local`.

    """

    queries: tuple[Query, ...]
    providers: tuple[str, ...]
    licences: Licences = field(default_factory=Licences)
    contact: str | None = None
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the query at work, and pictures so far of those wanted.

    Attributes:
        query: at work.
        kept: pictures so far.
        wanted: pictures in all.
        failed: fetches.
        waiting: the host that asks to wait longest, and for how many seconds from now.

    """

    query: Query
    kept: int
    wanted: int
    failed: int
    waiting: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a collection holds after a run, and what went wrong.

    Attributes:
        labels: what became of the results, by label.
        providers: the same, by provider.
        troubles: providers that did not answer, and what they said; another run goes on there.
        ended: whether the run was ended by its user.

    """

    labels: Mapping[str, Tally]
    providers: Mapping[str, Tally]
    troubles: tuple[str, ...]
    ended: bool = False


def collect(
    request: Request,
    out: str | Path,
    *,
    limits: Limits | None = None,
    retry: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Collect pictures into the folder `out`, or go on where an earlier run for the same request was ended.

    Nothing that an earlier run has asked or fetched is asked or fetched again. Ctrl-C (KeyboardInterrupt) ends the
    run; the report then says so.

    Args:
        request: what is asked for; it may ask for more than the earlier run, but not for something else.
        out: the folder.
        limits: what it may cost.
        retry: try again what failed before.
        progress: called when something is done.

    Raises:
        DataError: what is in the folder is damaged.
        MissingExtraError: what a provider needs is not installed.
        OutputError: something cannot be written.
        UsageError: the request cannot be met, is not the one of the folder, or another run is at work there.

    """
    folder, limits = Path(out), limits or Limits()
    check_providers(request.providers, licences=request.licences, contact=request.contact, source=request.source)
    with writing(folder):
        _check_folder(folder, request)
        if not (folder / JOURNAL).exists():
            _check_journal(folder, None)
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder, retry=retry) as journal:
            _check_journal(folder, journal)
            write_whole(folder / QUERIES, write_queries(request.queries, _asked(request)))
            remove_partial(folder)
            with closing(_Run(request, folder, limits, journal, progress)) as run:
                ended = False
                try:
                    asyncio.run(run.work())
                except KeyboardInterrupt:
                    ended = True
                return run.report(ended=ended)


def _asked(request: Request) -> dict[str, str | bool | list[str]]:
    return {
        "providers": list(request.providers),
        "licence": ",".join(request.licences.wanted),
        "allow_unknown_licence": request.licences.unknown,
        "from": "" if request.source is None else str(request.source.resolve()),
    }


def _check_folder(folder: Path, request: Request) -> None:
    """Check that a folder is empty, or holds what was collected for this request or a part of it.

    Raises:
        UsageError: it is something else.

    """
    path = folder / QUERIES
    if not path.exists():
        # a run may have been ended before it wrote what was asked
        foreign = folder.is_dir() and any(entry.name not in _FILES for entry in folder.iterdir())
        if foreign or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"{folder}: it is there, and no collection; name another folder")
        return
    try:
        text = path.read_text("utf-8")
        before = {(query.label, query.word): query for query in parse_queries(text, str(path))}
        asked = tomllib.loads(text).get(REQUEST)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8") from error
    after = {(query.label, query.word): query for query in request.queries}
    covered = all(
        key in after and after[key].phrases == query.phrases and after[key].limit >= query.limit
        for key, query in before.items()
    )
    if not covered or asked != _asked(request):
        raise UsageError(
            f"{folder}: it was collected for something else, as {path.name} in it says; give the same queries, "
            "limits, providers and licences or more queries and pictures, or name another folder"
        )


def _check_journal(folder: Path, journal: Journal | None) -> None:
    """Check that the journal, None where there is none, accounts for what is there: provenance is made from it anew.

    Raises:
        DataError: a line of provenance, or all pictures, would be lost.

    """
    known: Collection[str] = ()
    if journal is not None:
        listed = {found.url for pages in journal.pages.values() for page in pages for found in page.results}
        known = {sha256 for url, sha256 in journal.known.items() if url in listed}
    path = folder / PROVENANCE
    # as bytes: a damaged line is mended from the journal
    told = {sha256.decode() for sha256 in _SHA256.findall(path.read_bytes())} if path.exists() else set()
    lost = len(told.difference(known))
    if journal is None or not journal.pages:
        lost += not told and any((folder / PICTURES).glob("??/*"))
    if lost:
        raise DataError(
            f"{folder}: {JOURNAL} is missing or not whole, and without it the collection cannot be gone on with; "
            "what is there stays as it is, and `mien clean` takes it: name another folder for more"
        )


class _Run:
    """One run, from opening the providers to the last picture."""

    def __init__(
        self,
        request: Request,
        folder: Path,
        limits: Limits,
        journal: Journal,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._request, self._folder, self._limits, self._journal = request, folder, limits, journal
        self._progress = progress
        self._passing: dict[str, str] = {}  # failures that the next run tries again
        self._held: dict[str, Outcome] = {}  # URLs whose hosts take no connection, while none answers
        self._asking = asyncio.Lock()
        self._places = Places(limits.concurrency, announce=self._tell)
        self._query_now = request.queries[0]
        self._out: dict[str, str] = {}  # providers that do not answer
        self._stopped = ""
        self._failed = 0
        self._have: dict[str, set[str]] = {query.label: set() for query in request.queries}
        lines = self._select().collected
        self._write_provenance(lines)
        self._told = {(line.sha256, line.label) for line in lines}  # that have their line
        self._wanted = sum(query.limit for query in request.queries)
        self._file: IO[str] = (folder / PROVENANCE).open("a", encoding="utf-8", newline="")

    def close(self) -> None:
        """Put the lines of provenance in their order, and remove pictures that have none."""
        self._file.close()
        lines = self._select().collected
        self._write_provenance(lines)
        listed = {line.sha256 for line in lines}
        remove_pictures(self._folder, lambda sha256: sha256 not in listed)

    def report(self, *, ended: bool) -> Report:
        """Return what there is now."""
        selected = self._select()
        troubles = tuple(f"{name}: {why}" for name, why in self._out.items())
        return Report(
            selected.labels, selected.providers, (*troubles, self._stopped) if self._stopped else troubles, ended
        )

    async def work(self) -> None:
        """Do all queries."""
        request = self._request
        async with open_providers(
            request.providers,
            licences=request.licences,
            limits=self._limits,
            contact=request.contact,
            source=request.source,
            places=self._places,
        ) as providers:
            for query in request.queries:
                await self._query(query, providers)
                if self._stopped:
                    return
            services = [service for service in providers if service.name not in (LOCAL, *self._out)]
            if self._held and services:
                await self._check_network(services[0], request.queries[-1])

    async def _query(self, query: Query, providers: Sequence[Provider]) -> None:
        mine: set[str] = set()
        tasks: dict[asyncio.Task[None], str] = {}
        results = self._results(query, providers)
        self._query_now = query
        self._tell()
        try:
            while not self._stopped:
                while tasks and (
                    len(tasks.keys() - self._places.waiting) >= self._limits.concurrency
                    or len(mine) + len(tasks) >= query.limit
                ):
                    await _first(tasks, self._places.changed)
                if len(mine) >= query.limit:
                    break
                following = await anext(results, None)
                if following is None:
                    break
                text, provider, found = following
                if found.url in tasks.values() or self._request.licences.refusal(found.licence) is not None:
                    continue
                if found.url in self._journal.outcomes:
                    self._take(query, text, provider.name, found, mine)
                elif found.url not in self._passing:
                    task = asyncio.create_task(self._fetch(query, text, provider, found, mine))
                    tasks[task] = found.url
            while tasks:
                await _first(tasks, self._places.changed)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await results.aclose()
        self._have[query.label] |= mine

    async def _results(
        self, query: Query, providers: Sequence[Provider]
    ) -> AsyncGenerator[tuple[str, Provider, Found], None]:
        """Yield results in the order of `results.in_turn`, asking for pages that the journal does not have."""
        for text in query.texts:
            number, going = 0, list(providers)
            while going:
                for provider in list(going):
                    found = await self._result(provider, query, text, number)
                    if found is None:
                        going.remove(provider)
                    else:
                        yield text, provider, found
                number += 1

    async def _result(self, provider: Provider, query: Query, text: str, number: int) -> Found | None:
        while True:
            pages = self._journal.pages.get((provider.name, text), [])
            before = 0
            for page in pages:
                if number < before + len(page.results):
                    return page.results[number - before]
                before += len(page.results)
            if (pages and pages[-1].following is None) or provider.name in self._out:
                return None
            try:
                page = await provider.search(query, text, pages[-1].following if pages else None)
            except ProviderError as error:
                self._out[provider.name] = str(error)
                return None
            self._heard(provider)
            results = tuple(found for found in page.results if is_address(found.url))
            self._journal.add_page(provider.name, text, Page(results, page.following))

    async def _fetch(self, query: Query, text: str, provider: Provider, found: Found, mine: set[str]) -> None:
        try:
            async with self._places.place():
                content = await provider.fetch(found.url)
                outcome = Outcome(await self._store(content), "", now())
        except FetchError as error:
            self._failed += 1
            if not error.lasting:
                self._passing[found.url] = error.reason
                return
            outcome = Outcome(None, error.reason, now())
            if error.reason == "no connection":
                # not noted yet: it may be the network here that is down
                self._passing[found.url] = outcome.reason
                self._held[found.url] = outcome
                await self._check_silence(provider, query)
                return
        if outcome.reason not in _UNREACHED:
            self._heard(provider)
        self._journal.add_outcome(found.url, outcome)
        self._take(query, text, provider.name, found, mine)

    async def _store(self, content: bytes) -> Stored:
        return await asyncio.to_thread(
            store_picture,
            content,
            self._folder,
            max_pixels=self._limits.max_pixels,
            removed=frozenset(self._journal.removed),
        )

    async def _check_silence(self, provider: Provider, query: Query) -> None:
        async with self._asking:
            if not self._stopped and len({urlsplit(url).hostname for url in self._held}) >= SILENCE:
                await self._check_network(provider, query)

    async def _check_network(self, provider: Provider, query: Query) -> None:
        """Search: where that answers, the hosts that do not are down, and otherwise the network here may be."""
        try:
            await provider.search(query, query.texts[0], None)
        except ProviderError as error:
            self._stopped = f"hosts take no connection, and {provider.name} says: {error}; is the network down?"
        else:
            self._heard(provider)

    def _heard(self, provider: Provider) -> None:
        """Someone out there has answered, so the hosts that did not are down."""
        if provider.name == LOCAL:
            return
        for url, outcome in self._held.items():
            self._journal.add_outcome(url, outcome)
            del self._passing[url]
        self._held.clear()

    def _take(self, query: Query, text: str, provider: str, found: Found, mine: set[str]) -> None:
        """Count the picture of a URL whose outcome is known, where the label does not have it yet."""
        outcome = self._journal.outcomes[found.url]
        if outcome.stored is not None and outcome.stored.sha256 not in self._have[query.label] | mine:
            mine.add(outcome.stored.sha256)
            if (outcome.stored.sha256, query.label) not in self._told:
                self._told.add((outcome.stored.sha256, query.label))
                self._file.write(as_collected(query.label, text, provider, found, outcome).to_json() + "\n")
                self._file.flush()
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(
                Progress(self._query_now, len(self._told), self._wanted, self._failed, self._places.longest_wait)
            )

    def _select(self) -> Selected:
        request = self._request
        return select(self._journal, request.queries, request.providers, request.licences, self._passing)

    def _write_provenance(self, lines: Sequence[Collected]) -> None:
        write_whole(self._folder / PROVENANCE, "".join(line.to_json() + "\n" for line in lines))


async def _first(tasks: dict[asyncio.Task[None], str], changed: asyncio.Event) -> None:
    """Wait for one of the tasks, and take it out, or for the event."""
    changed.clear()
    event = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait([*tasks, event], return_when=asyncio.FIRST_COMPLETED)
    finally:
        event.cancel()
    for task in [task for task in tasks if task.done()]:
        del tasks[task]
        task.result()
