"""Results, a query's one after the other: from the journal as far as it goes, and then from the providers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from mien.collect.journal import Journal
from mien.collect.providers.protocol import Found, Page, Provider, ProviderError, is_address
from mien.collect.queries import Query


class Search:
    """Searches by some providers.

    Attributes:
        silent: providers that do not answer, and what they said; they are not asked again.

    """

    def __init__(self, providers: Sequence[Provider], journal: Journal, *, heard: Callable[[Provider], None]) -> None:
        """Take what is needed.

        Args:
            providers: in the order in which their results are taken in turn.
            journal: has the pages that were asked before, and is given the others.
            heard: called when a provider has answered.

        """
        self.silent: dict[str, str] = {}
        self._providers, self._journal, self._heard = providers, journal, heard

    async def results(self, query: Query) -> AsyncGenerator[tuple[str, Provider, Found], None]:
        """Yield the results, each with the text that found it, in the order of `results.in_turn`."""
        for text in query.texts:
            number, going = 0, list(self._providers)
            while going:
                for provider in list(going):
                    found = await self._result(provider, query, text, number)
                    if found is None:
                        going.remove(provider)
                    else:
                        yield text, provider, found
                number += 1

    async def _result(self, provider: Provider, query: Query, text: str, number: int) -> Found | None:
        """Return a provider's result of that number, None after the last one."""
        while True:
            pages = self._journal.pages.get((provider.name, text), [])
            before = 0
            for page in pages:
                if number < before + len(page.results):
                    return page.results[number - before]
                before += len(page.results)
            if (pages and pages[-1].following is None) or provider.name in self.silent:
                return None
            try:
                page = await provider.search(query, text, pages[-1].following if pages else None)
            except ProviderError as error:
                self.silent[provider.name] = str(error)
                return None
            self._heard(provider)
            results = tuple(found for found in page.results if is_address(found.url))
            self._journal.add_page(provider.name, text, Page(results, page.following))
