"""The loop: queries one after the other, their results fetched a few at a time, each noted as soon as it is known.

Within a query no more fetches are begun than pictures are still wanted, so which pictures are kept does not depend on
which host answers first: they are the distinct ones at the beginning of the results. Fetches that wait for their host
leave their place to others, but still count among those begun. Only a host that is left alone changes what a run
keeps: later results take the place of its pictures, until a run in which it answers puts them back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mien.collect.collection import JOURNAL, QUERIES
from mien.collect.failures import FetchError
from mien.collect.journal import Journal, Outcome, now
from mien.collect.limits import Limits
from mien.collect.pictures import Stored, remove_partial, store_picture
from mien.collect.places import Places
from mien.collect.provenance import Provenance
from mien.collect.providers.opening import LOCAL, check_providers, open_providers
from mien.collect.providers.protocol import Found, Provider
from mien.collect.queries import Query
from mien.collect.request import Request, check_folder, check_journal
from mien.collect.results import Selected, Tally, as_collected, select
from mien.collect.searching import Search
from mien.collect.silence import Silence
from mien.whole import write_whole, writing

_UNREACHED = ("bad address", "private address")
"""Reasons that say nothing of whether the network is there."""


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
        check_folder(folder, request)
        if not (folder / JOURNAL).exists():
            check_journal(folder, None)
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder, retry=retry) as journal:
            check_folder(folder, request)  # once more: another run may have come and gone before this one held it
            check_journal(folder, journal)
            write_whole(folder / QUERIES, request.to_toml().encode())
            remove_partial(folder)
            with closing(_Run(request, folder, limits, journal, progress)) as run:
                ended = False
                try:
                    asyncio.run(run.work())
                except KeyboardInterrupt:
                    ended = True
                return run.report(ended=ended)


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
        self._query_now = request.queries[0]
        self._wanted = sum(query.limit for query in request.queries)
        self._failed = 0
        self._passing: dict[str, str] = {}  # failures that the next run tries again
        self._silence = Silence(journal)
        self._search = Search((), journal, heard=self._silence.end)
        self._places = Places(limits.concurrency, announce=self._tell)
        self._have: dict[str, set[str]] = {query.label: set() for query in request.queries}
        self._provenance = Provenance(folder, self._select().collected)

    def close(self) -> None:
        """Leave what the journal amounts to, in its order."""
        self._provenance.close(self._select().collected)

    def report(self, *, ended: bool) -> Report:
        """Return what there is now."""
        selected = self._select()
        troubles = [f"{name}: {why}" for name, why in self._search.silent.items()]
        troubles += [self._silence.down] if self._silence.down else []
        return Report(selected.labels, selected.providers, tuple(troubles), ended)

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
            self._search = Search(providers, self._journal, heard=self._silence.end)
            for query in request.queries:
                await self._query(query)
                if self._silence.down:
                    return
            services = [one for one in providers if one.name not in (LOCAL, *self._search.silent)]
            if self._silence.held and services:
                await self._silence.ask(services[0], request.queries[-1])

    async def _query(self, query: Query) -> None:
        mine: set[str] = set()
        tasks: dict[asyncio.Task[None], str] = {}
        results = self._search.results(query)
        self._query_now = query
        self._tell()
        try:
            while not self._silence.down:
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
                elif found.url not in self._passing and found.url not in self._silence.held:
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
                await self._silence.add(found.url, outcome, provider, query)
                return
        if outcome.reason not in _UNREACHED:
            self._silence.end(provider)
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

    def _take(self, query: Query, text: str, provider: str, found: Found, mine: set[str]) -> None:
        """Count the picture of a URL whose outcome is known, where the label does not have it yet."""
        outcome = self._journal.outcomes[found.url]
        if outcome.stored is not None and outcome.stored.sha256 not in self._have[query.label] | mine:
            mine.add(outcome.stored.sha256)
            self._provenance.add(as_collected(query.label, text, provider, found, outcome))
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            done = len(self._provenance)
            self._progress(Progress(self._query_now, done, self._wanted, self._failed, self._places.longest_wait))

    def _select(self) -> Selected:
        request = self._request
        held = {url: outcome.reason for url, outcome in self._silence.held.items()}
        return select(self._journal, request.queries, request.providers, request.licences, self._passing | held)


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
