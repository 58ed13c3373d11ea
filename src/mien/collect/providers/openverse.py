"""Openverse, a search over openly licensed pictures of many collections (API v1).

Anonymous use is limited to pages of 20, 240 results a search, and some 20 requests a minute and 200 a day; a token in
MIEN_OPENVERSE_TOKEN raises the last two.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlencode

from mien.collect.failures import FetchError
from mien.collect.fetching import SEARCH, Fetcher
from mien.collect.licences import GROUPS, Licences, creative_commons
from mien.collect.providers.protocol import MAX_ANSWER, Found, Page, ProviderError, as_link, as_text, page_number
from mien.collect.queries import Query

URL = "https://api.openverse.org/v1"
_PAGE = 20
_PAGES = 12  # the API goes no deeper
_PAUSE = 3.0  # seconds


class Openverse:
    """Pictures by `GET /v1/images/`."""

    name = "openverse"

    def __init__(self, fetcher: Fetcher, licences: Licences) -> None:
        self._fetcher = fetcher
        self._url = os.environ.get("MIEN_OPENVERSE_URL") or URL
        token = os.environ.get("MIEN_OPENVERSE_TOKEN")
        self._headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._filter: dict[str, str] = {}
        if licences.wanted != ("open",):
            key = "license_type" if licences.wanted[0] in GROUPS else "license"
            self._filter = {key: ",".join(licences.wanted)}

    async def search(self, query: Query, text: str, following: str | None) -> Page:
        """Return a page of the results for `text`."""
        number = page_number(following)
        parameters = {"q": text, "page": number, "page_size": _PAGE, "mature": "false", **self._filter}
        url = f"{self._url.rstrip('/')}/images/?{urlencode(parameters)}"
        try:
            body = await self._fetcher.get(
                url, headers=self._headers, pause=_PAUSE, max_bytes=MAX_ANSWER, patience=SEARCH
            )
            answer = json.loads(body)
            results = tuple(_found(result) for result in answer["results"] if _is_suitable(result))
            last = not number < min(_PAGES, answer["page_count"]) or not answer["results"]
        except FetchError as error:
            raise ProviderError(str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ProviderError("its answer is not as documented") from error
        return Page(results, None if last else str(number + 1))

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a picture."""
        return await self._fetcher.get(url)


def _is_suitable(result: object) -> bool:
    """Return whether a result has an address and is for everyone; one that is broken spoils no others."""
    return isinstance(result, dict) and isinstance(result.get("url"), str) and not result.get("mature")


def _found(result: dict[str, Any]) -> Found:
    named = result.get("license")
    licence = as_text(named) if isinstance(named, str) else ""  # what is no text names none
    return Found(
        url=result["url"],
        page=as_link(result.get("foreign_landing_url")),
        title=as_text(result.get("title")),
        licence=creative_commons(licence, as_text(result.get("license_version"))) if licence else "",
        licence_url=as_link(result.get("license_url")),
        author=as_text(result.get("creator")),
    )
