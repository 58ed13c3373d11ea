"""mien reads the expression on faces: the one a human rater would most likely name.

    >>> import mien
    >>> result = mien.analyze("photo.jpg")
    >>> [(face.emotion, face.confidence) for face in result.faces]

To analyse many pictures, or films, load an `Analyzer` once and use it for all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.analyzer import Analyzer
    from mien.drawing import annotate
    from mien.emotions import SETS, Emotion
    from mien.errors import (
        DataError,
        MienError,
        MissingExtraError,
        ModelError,
        OutputError,
        SourceError,
        UsageError,
    )
    from mien.quick import analyze
    from mien.results import Detection, Face, Frame, Result, to_pandas
    from mien.timeline import Person, Summary, draw_timeline, read_results

__all__ = [
    "SETS",
    "Analyzer",
    "DataError",
    "Detection",
    "Emotion",
    "Face",
    "Frame",
    "MienError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "Person",
    "Result",
    "SourceError",
    "Summary",
    "UsageError",
    "analyze",
    "annotate",
    "draw_timeline",
    "read_results",
    "to_pandas",
]

__version__ = "0.1.0"

# Names are imported at their first use, so that `import mien` costs next to nothing, not even numpy.
_ROOMS = {
    "analyzer": ("Analyzer",),
    "drawing": ("annotate",),
    "emotions": ("SETS", "Emotion"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "quick": ("analyze",),
    "results": ("Detection", "Face", "Frame", "Result", "to_pandas"),
    "timeline": ("Person", "Summary", "draw_timeline", "read_results"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    value = getattr(import_module(f"mien.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
