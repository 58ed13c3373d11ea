"""mien reads the expression on faces: the one a human rater would most likely name.

    >>> import mien
    >>> result = mien.analyze("photo.jpg")
    >>> [(face.emotion, face.confidence) for face in result.faces]

To analyse many pictures, load an `Analyzer` once and use it for all of them.
"""

from mien.analyzer import Analyzer, analyze
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
from mien.results import Detection, Face, Frame, Result

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
    "Result",
    "SourceError",
    "UsageError",
    "analyze",
    "annotate",
]

__version__ = "0.1.0"
