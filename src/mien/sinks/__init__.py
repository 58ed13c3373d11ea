"""Result → files: records, annotated pictures, crops. Nothing half-written stands under a final name."""

from typing import Protocol

from mien.results import Frame, Result
from mien.sinks.crops import Crops
from mien.sinks.pictures import AnnotatedPictures, picture_name
from mien.sinks.records import Csv, JsonLines, JsonList, Records

__all__ = ["AnnotatedPictures", "Crops", "Csv", "JsonLines", "JsonList", "Records", "Sink", "picture_name"]


class Sink(Protocol):
    """Takes results as they come."""

    def write(self, result: Result, frame: Frame | None) -> None:
        """Take one result, with its frame where that could be read.

        Raises:
            OutputError: it cannot be written.

        """
        ...

    def close(self, *, complete: bool = True) -> None:
        """Finish the output and, where it is complete, give it its final name."""
        ...
