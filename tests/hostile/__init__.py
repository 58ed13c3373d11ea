"""Files that mean harm, made and never stored: each has a name that says what is wrong with it.

`python -m hostile FOLDER`, run in tests/, writes them all to look at; `corpus()` returns them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hostile import bombs, films, headers, metadata, pictures, whole
from hostile.case import Case, Ends

__all__ = ["Case", "Ends", "corpus", "few", "write"]


@cache
def corpus() -> tuple[Case, ...]:
    """Return all of them, in the order of their names."""
    rooms = (pictures, headers, metadata, bombs, films, whole)
    cases = sorted((case for room in rooms for case in room.cases()), key=lambda case: case.name)
    assert len({case.name for case in cases}) == len(cases), "two cases have one name"
    return tuple(cases)


def few() -> tuple[Case, ...]:
    """Return some of every kind, for a test that is soon done: the good ones, and every twelfth of the others."""
    quick = [case for case in corpus() if case.quick]
    good = [case for case in quick if case.name.startswith("good-")]
    return tuple(good + [case for case in quick if case not in good][::12])


def write(cases: Iterable[Case], folder: Path) -> None:
    """Write files to a new folder."""
    folder.mkdir(parents=True)
    for case in cases:
        (folder / case.name).write_bytes(case.content)
