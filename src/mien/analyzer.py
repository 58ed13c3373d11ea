"""The road from a picture to a Result: detect, align, classify."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.align import crop_faces
from mien.classifier import open_classifier
from mien.detectors import Detector, open_detector
from mien.emotions import Emotion, emotion_set, project
from mien.errors import SourceError, UsageError
from mien.results import Box, Detection, Face, Frame, Result
from mien.sources import MAX_PIXELS, PictureSource, find_pictures, read_picture


class Analyzer:
    """Reads the expressions in pictures. Load it once and use it for all of them."""

    def __init__(
        self,
        *,
        model: str | Path = "embedded",
        detector: str | Detector = "mtcnn",
        emotions: str | None = None,
        rater: str | None = None,
        min_face: float | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Load the models.

        Args:
            model: a name in the registry, or the path of an .onnx file made by `mien export`.
            detector: `mtcnn`, `none` (each picture is a face already), or anything that follows the
                `Detector` protocol.
            emotions: `three`, `five`, `seven` or `eight`: the scores are renormalised over the set, so
                one without neutral forces a choice. None: all emotions of the model's output.
            rater: the output of the model to ask; None is its first. The embedded model has `votes`
                (what raters would name) and `fer2013` (that set's own labels).
            min_face: side in pixels of the smallest face to look for.
            max_pixels: refuse pictures of more than so many pixels.

        Raises:
            ModelError: the model cannot be used.
            UsageError: an argument makes no sense.

        """
        self._classifier = open_classifier(model)
        self._output = self._classifier.metadata.output(rater)
        self._labels = self._classifier.metadata.outputs[self._output].labels
        self.emotions: tuple[Emotion, ...] = self._labels if emotions is None else emotion_set(emotions, self._labels)
        if isinstance(detector, str):
            detector = open_detector(detector, min_face=min_face)
        elif min_face is not None:
            raise UsageError("min_face is for a detector by name: give it to your own detector instead")
        self._detector = detector
        self._max_pixels = max_pixels

    @property
    def model(self) -> str:
        """The model's identity, as it stands in every result."""
        return self._classifier.identity

    def analyze(self, source: PictureSource, *, name: str | None = None) -> Result:
        """Return the faces of one picture; nobody is an empty tuple.

        Args:
            source: a path, the bytes of a file, a Pillow image, an array (RGB, uint8) or a Frame.
            name: what the result calls it; None is its path.

        Raises:
            SourceError: it cannot be read; the message names it.

        """
        return self.analyze_frames([read_picture(source, name=name, max_pixels=self._max_pixels)])[0]

    def analyze_frames(self, frames: Sequence[Frame]) -> list[Result]:
        """Return a result for each of `frames`; the faces of all are classified in one batch."""
        metadata, geometry = self._classifier.metadata, self._classifier.geometry
        found = [sorted(faces, key=lambda face: face.box) for faces in self._detector(frames)]
        crops = [
            crop_faces(frame.pixels, faces, size=metadata.size, geometry=geometry, grey=self._classifier.grey)
            for frame, faces in zip(frames, found, strict=True)
        ]
        if not crops:
            return []
        probabilities = iter(self._classifier(np.concatenate(crops))[self._output])
        return [
            Result(
                source=frame.source,
                frame=frame.index,
                time=frame.time,
                width=frame.width,
                height=frame.height,
                model=self.model,
                faces=tuple(self._face(frame, face, next(probabilities)) for face in faces),
            )
            for frame, faces in zip(frames, found, strict=True)
        ]

    def stream(self, source: str | Path, *, recursive: bool = False) -> Iterator[Result]:
        """Yield a result for each picture that `source` names: a picture, or a folder of them.

        A picture that cannot be read becomes a result whose `error` says why, and the stream goes on.

        Raises:
            SourceError: `source` is not there, or is a folder without pictures.

        """
        if not os.path.lexists(source):  # unlike those of Path, these checks answer for any name at all
            raise SourceError(f"{source}: there is no such file or folder")
        path = Path(source)
        pictures = find_pictures(path, recursive=recursive) if os.path.isdir(path) else [path]
        for _, result in self.stream_pictures((str(picture), picture) for picture in pictures):
            yield result

    def stream_pictures(self, sources: Iterable[tuple[str, PictureSource]]) -> Iterator[tuple[Frame | None, Result]]:
        """Yield (frame, result) for each (name, picture); the frame is None where it could not be read."""
        for name, source in sources:
            try:
                frame = read_picture(source, name=name, max_pixels=self._max_pixels)
            except SourceError as error:
                yield None, Result(name, 0, None, None, None, self.model, error=str(error))
            else:
                yield frame, self.analyze_frames([frame])[0]

    def _face(self, frame: Frame, detection: Detection, probabilities: NDArray[np.float32]) -> Face:
        scores = dict(zip(self._labels, probabilities.tolist(), strict=True))
        return Face(
            box=_clipped(detection.box, frame),
            detection=detection.score,
            scores=project(scores, self.emotions),
            landmarks=detection.landmarks,
        )


def _clipped(box: Box, frame: Frame) -> Box:
    width, height = float(frame.width), float(frame.height)
    x1, x2 = (min(max(0.0, x), width) for x in box[::2])
    y1, y2 = (min(max(0.0, y), height) for y in box[1::2])
    return (x1, y1, x2, y2)


def analyze(
    source: PictureSource,
    *,
    model: str | Path = "embedded",
    detector: str = "mtcnn",
    emotions: str | None = None,
    rater: str | None = None,
    min_face: float | None = None,
) -> Result:
    """Return the faces of one picture and what their expressions would be named.

    The models are kept between calls. The arguments are those of `Analyzer`; for many pictures, or
    other settings, make one of your own.

    Raises:
        SourceError: the picture cannot be read.
        ModelError: the model cannot be used.
        UsageError: an argument makes no sense.

    """
    path, written = str(model), None
    if os.path.isfile(path):  # a file that is written anew is loaded anew, also under the same name
        path, written = os.path.realpath(path), os.stat(path).st_mtime_ns
    return _kept_analyzer(path, written, detector, emotions, rater, min_face).analyze(source)


@lru_cache(maxsize=4)
def _kept_analyzer(
    model: str,
    _written: int | None,
    detector: str,
    emotions: str | None,
    rater: str | None,
    min_face: float | None,
) -> Analyzer:
    return Analyzer(model=model, detector=detector, emotions=emotions, rater=rater, min_face=min_face)
