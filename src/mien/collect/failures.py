"""Why bytes could not be had."""

from __future__ import annotations


class FetchError(Exception):
    """A picture, or a page of results, could not be fetched.

    Attributes:
        reason: a few words that are counted, such as "not found".
        lasting: whether it counts as tried; otherwise the next run tries it again.

    """

    def __init__(self, reason: str, detail: str = "", *, lasting: bool = True) -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.lasting = lasting
