"""The loop: queries one after the other, their results fetched a few at a time, each noted as soon as it is known.

Within a query no more fetches are begun than pictures are still wanted, so which pictures are kept does not depend on
which host answers first: they are the distinct ones at the beginning of the results.
"""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mien.collect.collection import JOURNAL, PICTURES, PROVENANCE, QUERIES, Collected
from mien.collect.failures import FetchError
from mien.collect.journal import Journal, Outcome, now
from mien.collect.licences import Licences
from mien.collect.limits import Limits
from mien.collect.pictures import remove_partial, store_picture
from mien.collect.providers.opening import check_providers, open_providers
from mien.collect.providers.protocol import Found, Provider, ProviderError
from mien.collect.queries import REQUEST, Query, parse_queries, write_queries
from mien.collect.results import Selected, Tally, as_collected, select
from mien.errors import UsageError
from mien.sinks.partial import writing

SILENCE = 20
"""Hosts in a row that take no connection, after which the network here counts as down."""

_FILES = (QUERIES, PROVENANCE, JOURNAL, PICTURES)
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
    """How far a run is: the query at work, and pictures so far of those wanted."""

    query: Query
    kept: int
    wanted: int
    failed: int


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
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder, retry=retry) as journal:
            _write(folder / QUERIES, write_queries(request.queries, _asked(request)))
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
        foreign = folder.is_dir() and any(not entry.name.startswith(_FILES) for entry in folder.iterdir())
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


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


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
        self._held: list[tuple[str, Outcome]] = []  # hosts that take no connection, while none answers
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
        """Put the lines of provenance in their order."""
        self._file.close()
        self._write_provenance(self._select().collected)

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
        ) as providers:
            for query in request.queries:
                await self._query(query, providers)
                if self._stopped:
                    return
        self._release()

    async def _query(self, query: Query, providers: Sequence[Provider]) -> None:
        mine: set[str] = set()
        tasks: dict[asyncio.Task[None], str] = {}
        results = self._results(query, providers)
        self._tell(query)
        try:
            while not self._stopped:
                while tasks and (len(tasks) >= self._limits.concurrency or len(mine) + len(tasks) >= query.limit):
                    await _first(tasks)
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
                await _first(tasks)
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
            self._journal.add_page(provider.name, text, page)

    async def _fetch(self, query: Query, text: str, provider: Provider, found: Found, mine: set[str]) -> None:
        try:
            content = await provider.fetch(found.url)
            stored = await asyncio.to_thread(store_picture, content, self._folder, max_pixels=self._limits.max_pixels)
            outcome = Outcome(stored, "", now())
        except FetchError as error:
            self._failed += 1
            if not error.lasting:
                self._passing[found.url] = error.reason
                return
            outcome = Outcome(None, error.reason, now())
            if error.reason == "no connection":
                self._hold(found.url, outcome)
                return
        if outcome.reason not in _UNREACHED:
            self._release()
        self._journal.add_outcome(found.url, outcome)
        self._take(query, text, provider.name, found, mine)

    def _hold(self, url: str, outcome: Outcome) -> None:
        """Wait with noting a host that takes no connection: it may be the network here that is down."""
        self._passing[url] = outcome.reason
        self._held.append((url, outcome))
        if len(self._held) >= SILENCE:
            self._stopped = f"no host answers any more, {SILENCE} of them in a row: is the network down?"

    def _release(self) -> None:
        for url, outcome in self._held:
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
        self._tell(query)

    def _tell(self, query: Query) -> None:
        if self._progress is not None:
            self._progress(Progress(query, len(self._told), self._wanted, self._failed))

    def _select(self) -> Selected:
        request = self._request
        return select(self._journal, request.queries, request.providers, request.licences, self._passing)

    def _write_provenance(self, lines: Sequence[Collected]) -> None:
        _write(self._folder / PROVENANCE, "".join(line.to_json() + "\n" for line in lines))


async def _first(tasks: dict[asyncio.Task[None], str]) -> None:
    """Wait for one of the tasks, and take it out."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        del tasks[task]
        task.result()
