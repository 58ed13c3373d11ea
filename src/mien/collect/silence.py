"""Hosts that take no connection: either they are down, or the network here is, and then they were never tried."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from mien.collect.journal import Journal, Outcome
from mien.collect.providers.opening import LOCAL
from mien.collect.providers.protocol import Provider, ProviderError
from mien.collect.queries import Query

SILENCE = 20
"""Different hosts in a row that take no connection, after which a search finds out whether the network is down."""


class Silence:
    """The URLs that could not be connected to, which the journal is told of when someone else has answered.

    Attributes:
        held: what came of them.
        down: why the network is taken to be down; empty where it is not.

    """

    def __init__(self, journal: Journal) -> None:
        self.held: dict[str, Outcome] = {}
        self.down = ""
        self._journal = journal
        self._asking = asyncio.Lock()

    async def add(self, url: str, outcome: Outcome, provider: Provider, query: Query) -> None:
        """Hold what came of a URL; after many of different hosts, see whether the network is there."""
        self.held[url] = outcome
        async with self._asking:
            if not self.down and len({urlsplit(url).hostname for url in self.held}) >= SILENCE:
                await self.ask(provider, query)

    async def ask(self, provider: Provider, query: Query) -> None:
        """Search: where that answers, the hosts that do not are down, and otherwise the network here may be."""
        try:
            await provider.search(query, query.texts[0], None)
        except ProviderError as error:
            self.down = f"hosts take no connection, and {provider.name} says: {error}; is the network down?"
        else:
            self.end(provider)

    def end(self, provider: Provider) -> None:
        """Someone out there has answered, so the hosts that did not are down."""
        if provider.name == LOCAL:
            return
        for url, outcome in self.held.items():
            self._journal.add_outcome(url, outcome)
        self.held.clear()
