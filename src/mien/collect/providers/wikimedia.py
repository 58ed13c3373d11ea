"""Wikimedia Commons, by the search of MediaWiki's action API.

Its servers want a User-Agent with a contact, one search at a time, and `maxlag`, so that they may say no.
Pictures are taken in one of the standard widths, which are the only ones that they make smaller versions in.
"""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from mien.collect.failures import FetchError
from mien.collect.fetching import SEARCH, Fetcher
from mien.collect.providers.protocol import MAX_ANSWER, Found, Page, ProviderError, as_link, as_text
from mien.collect.queries import Query

URL = "https://commons.wikimedia.org/w/api.php"
_PAGE = 50  # more need an account
_PAGES = 20
_WIDTH = 1280
_PAUSE = 1.0  # seconds
_LONGEST = 4000  # characters of a fact, and of what asks for the next page
_BUSY = ("maxlag", "ratelimited", "readonly")
_PARAMETERS = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "maxlag": "5",
    "generator": "search",
    "gsrnamespace": "6",
    "gsrlimit": str(_PAGE),
    "prop": "imageinfo",
    "iiprop": "url|size|mime|extmetadata",
    "iiurlwidth": str(_WIDTH),
    "iiextmetadatafilter": "ObjectName|Artist|LicenseShortName|LicenseUrl",
}


class Wikimedia:
    """Photographs and other pictures made of pixels."""

    name = "wikimedia"

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._url = os.environ.get("MIEN_WIKIMEDIA_URL") or URL

    async def search(self, query: Query, text: str, following: str | None) -> Page:
        """Return a page of the results for `text`; it goes on by what the answer says under `continue`."""
        number, further = _read(following)
        url = f"{self._url}?{urlencode({**_PARAMETERS, 'gsrsearch': f'filetype:bitmap {text}', **further})}"
        try:
            body = await self._fetcher.get(url, pause=_PAUSE, max_bytes=MAX_ANSWER, busy=_is_busy, patience=SEARCH)
            answer = json.loads(body)
            if "error" in answer:
                error = answer["error"]
                raise ProviderError(as_text(f"{error.get('code')}: {error.get('info')}", longest=200))
            pages = [page for page in answer.get("query", {}).get("pages", ()) if isinstance(page, dict)]
            pages.sort(key=lambda page: page.get("index", 0))
            results = tuple(found for page in pages if (found := _found(page)) is not None)
            after = answer.get("continue")
            last = after is None or number >= _PAGES
            next_page = None if last else json.dumps({**after, "page": number + 1})
            if next_page is not None:
                _read(next_page)
        except FetchError as error:
            raise ProviderError(str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ProviderError("its answer is not as documented") from error
        return Page(results, next_page)

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a picture."""
        return await self._fetcher.get(url)


def _read(following: str | None) -> tuple[int, dict[str, str | int]]:
    """Return the number of the page that follows, and the parameters that ask for it.

    Raises:
        ProviderError: they are no such thing.

    """
    if following is None:
        return 1, {}
    try:
        further: dict[str, str | int] = json.loads(following if len(following) <= _LONGEST else "")
        number = further.pop("page")
        if type(number) is not int or not all(type(value) in (str, int) for value in further.values()):
            raise TypeError
        urlencode(further)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ProviderError("what it says of its next page cannot be read") from error
    return number, further


def _is_busy(body: bytes) -> bool:
    if not body.lstrip().startswith(b'{"error"'):
        return False
    try:
        return json.loads(body)["error"]["code"] in _BUSY
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _found(page: dict[str, Any]) -> Found | None:
    if not page.get("imageinfo"):  # a file that was deleted meanwhile, or whose turn comes in the next answer
        return None
    info = page["imageinfo"][0]
    about = info.get("extmetadata") or {}
    url = info.get("thumburl") or info.get("url")
    if not isinstance(url, str) or not url or not str(info.get("mime", "image/")).startswith("image/"):
        return None
    return Found(
        url=url,
        page=as_link(info.get("descriptionurl")),
        title=_said(about, "ObjectName") or as_text(page.get("title")).removeprefix("File:"),
        licence=_said(about, "LicenseShortName"),
        licence_url=as_link(_said(about, "LicenseUrl")),
        author=_said(about, "Artist"),
    )


def _said(about: dict[str, Any], key: str) -> str:
    """Return one of the facts about a file, which are written in HTML, as text."""
    value = about.get(key)
    said = value.get("value") if isinstance(value, dict) else None
    if not isinstance(said, str):
        return ""
    text = _Text()
    try:
        text.feed(said[:_LONGEST])  # time grows with the square of the length
        text.close()
    except AssertionError:  # html.parser on declarations that are none; what it read before stays
        pass
    return as_text("".join(text.parts))


class _Text(HTMLParser):
    """Collects what stands between tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
