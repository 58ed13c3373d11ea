"""The values that everything passes on: Frame, Detection, Face, Result. All frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.emotions import Emotion
from mien.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

SCHEMA = 1
"""Version of the record; changes are additions only."""

_FRAME_COLUMNS = ("schema", "source", "frame", "time", "width", "height", "model")
_FACE_COLUMNS = ("face", "x1", "y1", "x2", "y2", "detection", "track", "emotion", "confidence")

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the original picture; x2 and y2 are edges, not the last pixels."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture, from wherever it came.

    Attributes:
        pixels: RGB, uint8, shape (height, width, 3), upright.
        source: what the user named it by.
        index: its number in its source, from 0.
        time: seconds from the source's start; None for a still picture.
        reduced: returns the picture at a smaller width and height, (height, width, 3), straight from the way it was
            stored, which for a film is faster than from `pixels`; None where there are only the pixels.
        segment: number, from 0, of the part of a film that it lies in; parts begin at keyframes, some 30 s apart, and
            each is gone through without what was known of those before.

    """

    pixels: NDArray[np.uint8]
    source: str
    index: int = 0
    time: float | None = None
    reduced: Callable[[int, int], NDArray[np.uint8]] | None = None
    segment: int = 0

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class Detection:
    """Where a face is.

    Attributes:
        box: may reach beyond the picture's border.
        score: the detector's probability that this is a face; None where no detector looked.
        landmarks: left eye, right eye, nose, left and right corner of the mouth, as seen by the
            viewer; None from detectors that do not tell them.
        is_crop: the box is the crop to classify itself, not a face to cut a crop about.

    """

    box: Box
    score: float | None = None
    landmarks: tuple[Point, ...] | None = None
    is_crop: bool = False


@dataclass(frozen=True, slots=True)
class Face:
    """A face and what its expression would be named.

    Attributes:
        box: clipped to the picture.
        detection: the detector's probability that this is a face; None where no detector looked.
        scores: probabilities that sum to 1 over the chosen emotions.
        landmarks: as in `Detection`.
        square: what the model was shown: centre x and y and side in pixels of the picture, and the angle
            in radians by which the square is turned, clockwise as seen.
        track: number of the person within a film; None in still pictures.
        smoothed: `scores` smoothed over time; None where nothing was smoothed.

    """

    box: Box
    detection: float | None
    scores: Mapping[Emotion, float]
    landmarks: tuple[Point, ...] | None = None
    square: tuple[float, float, float, float] | None = None
    track: int | None = None
    smoothed: Mapping[Emotion, float] | None = None

    @property
    def shown(self) -> Mapping[Emotion, float]:
        """The distribution that `emotion` and `confidence` are of: smoothed where it was."""
        return self.scores if self.smoothed is None else self.smoothed

    @property
    def emotion(self) -> Emotion:
        """The most probable emotion."""
        return max(self.shown, key=self.shown.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of `emotion`."""
        return self.shown[self.emotion]

    def to_record(self) -> dict[str, Any]:
        """Return the face as it stands in the record: plain values, rounded for reading."""
        return {
            "box": [round(edge, 2) for edge in self.box],
            "detection": None if self.detection is None else round(self.detection, 4),
            "track": self.track,
            "emotion": str(self.emotion),
            "confidence": round(self.confidence, 6),
            "scores": _rounded(self.scores),
            "smoothed": None if self.smoothed is None else _rounded(self.smoothed),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Face:
        """Return the face of which `to_record` gave the record, as far as that tells; keys unknown here are ignored.

        Raises:
            DataError: it is no such record.

        """
        with _reading():
            x1, y1, x2, y2 = map(_number, record["box"])
            detection, track, smoothed = (record[name] for name in ("detection", "track", "smoothed"))
            return cls(
                box=(x1, y1, x2, y2),
                detection=None if detection is None else _number(detection),
                scores=_distribution(record["scores"]),
                track=None if track is None else _whole(track),
                smoothed=None if smoothed is None else _distribution(smoothed),
            )

    def to_row(self, number: int) -> dict[str, Any]:
        """Return the face as columns of a table; `number` counts the faces of a frame from 1."""
        record = self.to_record()
        row = {"face": number, **dict(zip(("x1", "y1", "x2", "y2"), record["box"], strict=True))}
        row |= {name: record[name] for name in ("detection", "track", "emotion", "confidence")}
        for kind, name in (("scores", "score"), ("smoothed", "smoothed")):
            row |= {f"{name}_{emotion}": score for emotion, score in (record[kind] or {}).items()}
        return row


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in one frame.

    Attributes:
        source: what the user named the picture or film by.
        frame: its number in the source, from 0.
        time: seconds; None for a still picture.
        width: pixels; None where the picture could not be read.
        height: pixels; None where the picture could not be read.
        model: name and the first twelve digits of the file's sha256.
        faces: from left to right; empty where nobody is.
        error: why the picture could not be analysed; None where it was.

    """

    source: str
    frame: int
    time: float | None
    width: int | None
    height: int | None
    model: str
    faces: tuple[Face, ...] = ()
    error: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the JSON-ready record of the frame."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "frame": self.frame,
            "time": self.time,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "faces": [face.to_record() for face in self.faces],
            "error": self.error,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Result:
        """Return the result of which `to_record` gave the record; keys unknown here, of a newer schema, are ignored.

        Raises:
            DataError: it is no such record.

        """
        with _reading():
            source, model, error = (record[name] for name in ("source", "model", "error"))
            if not isinstance(source, str):
                raise ValueError(f"its source is {source!r}")
            time, width, height = (record[name] for name in ("time", "width", "height"))
            return cls(
                source=source,
                frame=_whole(record["frame"]),
                time=None if time is None else _number(time),
                width=None if width is None else _whole(width),
                height=None if height is None else _whole(height),
                model="" if model is None else str(model),
                faces=tuple(map(Face.from_record, record["faces"])),
                error=None if error is None else str(error),
            )

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each face, under the names in `columns`; one without a face where nobody is."""
        frame = {"schema": SCHEMA, **{name: getattr(self, name) for name in _FRAME_COLUMNS[1:]}, "error": self.error}
        return [{**frame, **face.to_row(number)} for number, face in enumerate(self.faces, start=1)] or [frame]

    def to_pandas(self) -> DataFrame:
        """Return `to_pandas` of this result alone."""
        return to_pandas([self])


def columns(emotions: Iterable[Emotion]) -> list[str]:
    """Return the columns of a table of results whose scores are over `emotions`."""
    names = [str(emotion) for emotion in emotions]
    scores = [f"{kind}_{name}" for kind in ("score", "smoothed") for name in names]
    return [*_FRAME_COLUMNS, *_FACE_COLUMNS, *scores, "error"]


def to_pandas(results: Iterable[Result]) -> DataFrame:
    """Return a pandas DataFrame with a row a face, and one for each frame in which nobody is.

    The columns are those of `mien analyze --out NAME.csv`; where nobody is in any of them, those of all emotions.

    Raises:
        UsageError: pandas is not installed.

    """
    try:
        import pandas
    except ImportError as error:
        raise UsageError("a table of results needs pandas, which is not installed: pip install pandas") from error
    results = list(results)
    known = {emotion: None for result in results for face in result.faces for emotion in face.scores}
    names = columns(known or Emotion)
    return pandas.DataFrame([row for result in results for row in result.to_rows()], columns=names)


def _rounded(scores: Mapping[Emotion, float]) -> dict[str, float]:
    return {str(emotion): round(score, 6) for emotion, score in scores.items()}


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a strange record makes Python raise into the one error that says so."""
    try:
        yield
    except KeyError as error:
        raise DataError(f"not a record of mien: it has no {error.args[0]!r}") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise DataError(f"not a record of mien: {error}") from error


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number that it writes")
    return number


def _whole(value: Any) -> int:
    number = _number(value)  # a table that another tool has saved again may say 3.0
    if not number.is_integer():
        raise ValueError(f"{number} is not whole")
    return int(number)


def _distribution(scores: Mapping[str, Any]) -> dict[Emotion, float]:
    read = {Emotion(name): float(score) for name, score in scores.items()}
    if not read or not all(0.0 <= score <= 1.0 for score in read.values()):
        raise ValueError("its scores are no probabilities")
    return read
