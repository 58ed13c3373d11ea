"""What a provider is: it names pictures for a query, a page at a time, and hands out their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mien.collect.queries import Query


class ProviderError(Exception):
    """A provider does not answer as it should; the message says why, on one line, without its name."""


MAX_ANSWER = 10_000_000
"""Bytes of a page of results."""

_LONGEST_LINK = 4000  # characters


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that a provider names; texts are empty where it does not say.

    Attributes:
        url: where its bytes are.
        page: the page on which it is shown.
        title: of the picture.
        licence: such as "CC BY-SA 4.0"; empty where it is unknown.
        licence_url: where its text stands.
        author: who made it.

    """

    url: str
    page: str = ""
    title: str = ""
    licence: str = ""
    licence_url: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a provider's results.

    Attributes:
        results: in their order.
        following: what to ask the next page by; None where this is the last one.

    """

    results: tuple[Found, ...]
    following: str | None


class Provider(Protocol):
    """A service, or a folder, that finds pictures."""

    @property
    def name(self) -> str:
        """What `--provider` and provenance call it."""

    async def search(self, query: Query, text: str, following: str | None) -> Page:
        """Return the page after the one that said `following`, or the first, of the results for `text`.

        Raises:
            ProviderError: it does not answer as it should, after all tries.

        """

    async def fetch(self, url: str) -> bytes:
        """Return the bytes of a picture that a search has named.

        Raises:
            FetchError: they cannot be had.

        """


def is_address(url: str) -> bool:
    """Return whether a result may be had at `url`: it is not endless, and can be written as UTF-8."""
    return len(url) <= _LONGEST_LINK and url == url.encode("utf-8", "replace").decode("utf-8")


def page_number(following: str | None) -> int:
    """Return the number of a page, the first one where nothing said `following`.

    Raises:
        ProviderError: it is none.

    """
    if following is None:
        return 1
    if not following.isdecimal() or len(following) > 4:
        raise ProviderError("what the journal says of its next page is damaged")
    return int(following)


def as_text(value: object, *, longest: int = 500) -> str:
    """Return what a service says as text on one line that can be written as UTF-8; empty where it says nothing."""
    text = "" if value is None else str(value)
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())[:longest]


def as_link(value: object) -> str:
    """Return the address of a page; empty where it is none that a browser should be led to."""
    link = as_text(value, longest=_LONGEST_LINK)
    link = f"https:{link}" if link.startswith("//") else link
    return link if link.startswith(("https://", "http://")) else ""
