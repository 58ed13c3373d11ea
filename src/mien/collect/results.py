"""A query's results in one order, whatever was asked when, and what of them makes the collection.

The order is by number of the result, and for the same number by provider: one of each in turn. It is read off the
journal, so that an interrupted run and an undisturbed one agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mien.collect.collection import Collected
from mien.collect.journal import Journal, Outcome
from mien.collect.licences import Licences
from mien.collect.providers.protocol import Found
from mien.collect.queries import Query


@dataclass(slots=True)
class Tally:
    """What became of results: how many there were, how many were kept, and why the others were not."""

    found: int = 0
    kept: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Selected:
    """What a journal amounts to: lines of provenance, and what became of results by label and by provider."""

    collected: tuple[Collected, ...]
    labels: Mapping[str, Tally]
    providers: Mapping[str, Tally]


def in_turn(journal: Journal, providers: Sequence[str], text: str) -> Iterator[tuple[str, Found]]:
    """Yield the results for `text` that the journal has, each with its provider."""
    lists = [[found for page in journal.pages.get((name, text), ()) for found in page.results] for name in providers]
    for number in range(max(map(len, lists), default=0)):
        for name, results in zip(providers, lists, strict=True):
            if number < len(results):
                yield name, results[number]


def select(
    journal: Journal,
    queries: Sequence[Query],
    providers: Sequence[str],
    licences: Licences,
    passing: Mapping[str, str],
) -> Selected:
    """Return what the journal amounts to.

    Args:
        journal: of the collection.
        queries: grouped by label.
        providers: in their order.
        licences: that are wanted.
        passing: reasons by URL of failures that are not in the journal.

    """
    lines: list[Collected] = []
    labels: dict[str, Tally] = {query.label: Tally() for query in queries}
    services: dict[str, Tally] = {name: Tally() for name in providers}
    have: dict[str, set[str]] = {label: set() for label in labels}
    for query in queries:
        kept, seen = 0, set()
        for text in query.texts:
            for name, found in in_turn(journal, providers, text):
                if kept == query.limit:
                    break
                if found.url in seen:
                    continue
                reason = licences.refusal(found.licence)
                if reason is None:
                    seen.add(found.url)
                    outcome = journal.outcomes.get(found.url)
                    if outcome is None and found.url not in passing:
                        continue  # not tried yet
                    if outcome is None:
                        reason = passing[found.url]
                    elif outcome.stored is None:
                        reason = outcome.reason
                    elif outcome.stored.sha256 in have[query.label]:
                        reason = "duplicate"
                    else:
                        have[query.label].add(outcome.stored.sha256)
                        kept += 1
                        lines.append(as_collected(query.label, text, name, found, outcome))
                for tally in (labels[query.label], services[name]):
                    tally.found += 1
                    if reason is None:
                        tally.kept += 1
                    else:
                        tally.failed[reason] += 1
    return Selected(tuple(lines), labels, services)


def as_collected(label: str, text: str, provider: str, found: Found, outcome: Outcome) -> Collected:
    """Return the line of provenance for a result whose picture is stored."""
    stored = outcome.stored
    assert stored is not None
    return Collected(
        file=stored.file,
        sha256=stored.sha256,
        size=stored.size,
        width=stored.width,
        height=stored.height,
        label=label,
        query=text,
        provider=provider,
        url=found.url,
        page=found.page,
        title=found.title,
        licence=found.licence,
        licence_url=found.licence_url,
        author=found.author,
        time=outcome.time,
    )
