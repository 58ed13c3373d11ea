"""Files that mean harm, made and never stored: each has a name that says what is wrong with it.

`python -m hostile FOLDER`, run in tests/, writes them all to look at; `corpus()` returns them.
"""

from __future__ import annotations

from functools import cache

from hostile import bombs, films, headers, metadata, pictures, whole
from hostile.case import Case, Ends

__all__ = ["Case", "Ends", "corpus", "few"]


@cache
def corpus() -> tuple[Case, ...]:
    """Return all of them, in the order of their names."""
    rooms = (pictures, headers, metadata, bombs, films, whole)
    cases = sorted((case for room in rooms for case in room.cases()), key=lambda case: case.name)
    assert len({case.name for case in cases}) == len(cases), "two cases have one name"
    return tuple(cases)


def few() -> tuple[Case, ...]:
    """Return some of every kind, for a test that is soon done: the whole ones, and every ninth of the others."""
    return tuple(case for i, case in enumerate(corpus()) if case.quick and (case.ends is Ends.WELL or i % 9 == 0))
