"""Result → files: records, annotated pictures and films, crops. Nothing half-written stands under a final name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mien.results import Frame, Result
from mien.sinks.crops import Crops
from mien.sinks.deferred import DeferredParquet, rows_name
from mien.sinks.films import FILMS, AnnotatedFilms, film_name
from mien.sinks.parquet import Parquet
from mien.sinks.pictures import AnnotatedPictures, picture_name
from mien.sinks.records import Csv, JsonLines, JsonList, Records
from mien.sinks.veil import Veil

__all__ = [
    "FILMS",
    "AnnotatedFilms",
    "AnnotatedPictures",
    "Crops",
    "Csv",
    "DeferredParquet",
    "JsonLines",
    "JsonList",
    "Parquet",
    "Records",
    "Sink",
    "Veil",
    "film_name",
    "picture_name",
    "rows_name",
]


class Sink(Protocol):
    """Takes results as they come."""

    @property
    def kept(self) -> Sequence[Path]:
        """The files that hold, under provisional names, what an output that was not complete has got so far."""
        ...

    def write(self, result: Result, frame: Frame | None) -> None:
        """Take one result, with its frame where that could be read.

        Raises:
            OutputError: it cannot be written.

        """
        ...

    def close(self, *, complete: bool = True) -> None:
        """Finish the output and, where it is complete, give it its final name."""
        ...
