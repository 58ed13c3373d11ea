"""Search engines, through the library ddgs: they say nothing of licences and authors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mien.collect.fetching import Fetcher
from mien.collect.providers.protocol import Found, Page, ProviderError, as_link, as_text, page_number
from mien.collect.queries import Query
from mien.errors import MissingExtraError

_ENGINES = "duckduckgo,bing"  # the second where the first does not answer; by name, since otherwise they are drawn
_PAGES = 10
PAUSE = 2.0
_TIMEOUT = 20  # seconds


class Ddgs:
    """Pictures by `DDGS().images`; a proxy for its searches, not for the pictures, may stand in DDGS_PROXY."""

    name = "ddgs"

    def __init__(self, fetcher: Fetcher, *, pause: float = PAUSE) -> None:
        """Load the library.

        Args:
            fetcher: for the pictures.
            pause: seconds between two searches.

        Raises:
            MissingExtraError: it is not installed.

        """
        try:
            from ddgs import DDGS
        except ImportError as error:
            raise MissingExtraError("the provider ddgs", "collect") from error
        self._fetcher, self._pause = fetcher, pause
        self._engine = DDGS(timeout=_TIMEOUT)

    async def search(self, query: Query, text: str, following: str | None) -> Page:
        """Return a page of the results for `text`; the last one is known by the next being empty."""
        from ddgs.exceptions import DDGSException

        number = page_number(following)
        await asyncio.sleep(self._pause)
        try:
            results = await asyncio.to_thread(
                self._engine.images, text, safesearch="on", max_results=None, page=number, backend=_ENGINES
            )
        except DDGSException as error:
            if str(error) == "No results found.":
                return Page((), None)
            raise ProviderError(as_text(error, longest=200)) from error
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:  # its parsers trust engines
            raise ProviderError(as_text(f"the engine's answer cannot be read: {error}", longest=200)) from error
        return Page(
            tuple(found(result) for result in results if result.get("image")),
            str(number + 1) if results and number < _PAGES else None,
        )

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a picture."""
        return await self._fetcher.get(url)


def found(result: Mapping[str, Any]) -> Found:
    """Return a result as ddgs documents it: title, image, thumbnail, url, height, width, source."""
    return Found(url=str(result["image"]), page=as_link(result.get("url")), title=as_text(result.get("title")))
