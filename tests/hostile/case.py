"""One file, what is wrong with it, and how reading it has to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

_FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".ts", ".mpg", ".avi", ".flv", ".wmv", ".ogv", ".y4m", ".ivf"})


class Ends(Enum):
    """How reading a file has to end: with results, with an error, with results and then an error, or any of them."""

    WELL = "well"
    BADLY = "badly"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Case:
    """A file.

    Attributes:
        name: says what is wrong with it, and ends as such files do.
        made: the file's content, or what makes it.
        ends: how reading it has to end.
        quick: small and soon done, rightly read or not.

    """

    name: str
    made: bytes | Callable[[], bytes]
    ends: Ends = Ends.EITHER
    quick: bool = True

    @property
    def content(self) -> bytes:
        """The file's."""
        return self.made if isinstance(self.made, bytes) else self.made()

    @property
    def is_film(self) -> bool:
        """Whether it is called like a film."""
        return PurePath(self.name).suffix in _FILMS
