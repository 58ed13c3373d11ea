"""The road from a picture to a Result: detect, align, classify."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.align import crop_faces, face_frame
from mien.classifier import open_classifier
from mien.detectors import Detector, open_detector
from mien.emotions import Emotion, emotion_set, project
from mien.errors import SourceError, UsageError
from mien.results import Box, Detection, Face, Frame, Result
from mien.sources import MAX_PIXELS, PictureSource, find_pictures, read_frames, read_picture
from mien.sources.naming import source_error


class Analyzer:
    """Reads the expressions in pictures. Load it once and use it for all of them."""

    def __init__(
        self,
        *,
        model: str | Path = "embedded",
        detector: str | Detector = "mtcnn",
        emotions: str | None = None,
        rater: str | None = None,
        flip: bool = False,
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
            flip: average each answer with that to the mirrored face: a little more accurate, half as fast.
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
        self._flip = flip
        self._max_pixels = max_pixels

    @property
    def model(self) -> str:
        """The model's identity, as it stands in every result."""
        return self._classifier.identity

    def analyze(self, source: PictureSource, *, name: str | None = None) -> Result:
        """Return the faces of one picture; nobody is an empty tuple. Of an animated one, those of its first frame.

        `stream` gives all frames of an animated picture.

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
        probabilities = iter(self._classifier(np.concatenate(crops), flip=self._flip)[self._output])
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

        An animated picture gives a result for each of its frames, with their numbers and times. A picture that
        cannot be read becomes a result whose `error` says why, and the stream goes on; so does a film that breaks
        off, after the results of its frames so far.

        Raises:
            SourceError: `source` is not there, or is a folder without pictures.

        """
        if not os.path.lexists(source):  # unlike those of Path, these checks answer for any name at all
            raise source_error(str(source), "there is no such file or folder")
        path = Path(source)
        pictures = find_pictures(path, recursive=recursive) if os.path.isdir(path) else [path]
        for _, result in self.stream_pictures((str(picture), picture) for picture in pictures):
            yield result

    def stream_pictures(self, sources: Iterable[tuple[str, PictureSource]]) -> Iterator[tuple[Frame | None, Result]]:
        """Yield (frame, result) for each frame of each (name, picture), as `stream` does.

        The frame is None where it could not be read. Frames are read when they are asked for, one at a time.
        """
        for name, source in sources:
            read = 0
            with closing(read_frames(source, name=name, max_pixels=self._max_pixels)) as frames:
                try:
                    for frame in frames:
                        yield frame, self.analyze_frames([frame])[0]
                        read += 1
                except SourceError as error:
                    yield None, Result(name, read, None, None, None, self.model, error=str(error))

    def _face(self, frame: Frame, detection: Detection, probabilities: NDArray[np.float32]) -> Face:
        scores = dict(zip(self._labels, probabilities.tolist(), strict=True))
        return Face(
            box=_clipped(detection.box, frame),
            detection=detection.score,
            scores=project(scores, self.emotions),
            landmarks=detection.landmarks,
            square=astuple(face_frame(detection, self._classifier.geometry)),
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
    flip: bool = False,
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
    return _kept_analyzer(path, written, detector, emotions, rater, flip, min_face).analyze(source)


@lru_cache(maxsize=4)
def _kept_analyzer(
    model: str,
    _written: int | None,
    detector: str,
    emotions: str | None,
    rater: str | None,
    flip: bool,
    min_face: float | None,
) -> Analyzer:
    return Analyzer(model=model, detector=detector, emotions=emotions, rater=rater, flip=flip, min_face=min_face)
