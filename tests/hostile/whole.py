"""Good files, which are done whatever lies beside them."""

from __future__ import annotations

from collections.abc import Iterator

from hostile.case import Case, Ends
from hostile.films import good_films
from hostile.pictures import good


def cases() -> Iterator[Case]:
    """Yield them."""
    for name, content in (good() | good_films()).items():
        yield Case(f"good-{name}", content, Ends.WELL)
