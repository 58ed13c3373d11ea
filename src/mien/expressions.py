"""Faces found in frames → Results: they are cut out, classified, and their scores taken over a set of emotions."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.align import crop_faces, face_frame
from mien.classifier import open_classifier
from mien.emotions import Emotion, emotion_set, project
from mien.film import Answer, Sighting
from mien.results import Box, Detection, Face, Frame, Result


class ExpressionReader:
    """A loaded model, one of its outputs, and the set of emotions it is asked for.

    Attributes:
        emotions: the set, in the order of the scores.

    """

    def __init__(
        self,
        model: str | Path,
        *,
        emotions: str | None,
        rater: str | None,
        flip: bool,
        threads: int | None,
        device: str,
    ) -> None:
        """Load the model; the arguments are those of `mien.Analyzer`.

        Raises:
            ModelError: the model cannot be used.
            UsageError: an argument makes no sense.

        """
        self._classifier = open_classifier(model, threads=threads, device=device)
        self._output = self._classifier.metadata.output(rater)
        self._labels = self._classifier.metadata.outputs[self._output].labels
        self.emotions: tuple[Emotion, ...] = self._chosen(emotions)
        self._flip = flip

    def _chosen(self, emotions: str | None) -> tuple[Emotion, ...]:
        return self._labels if emotions is None else emotion_set(emotions, self._labels)

    @property
    def model(self) -> str:
        """The model's identity."""
        return self._classifier.identity

    def restricted(self, emotions: str | None) -> ExpressionReader:
        """Return a reader with the same loaded model, and its scores over another set.

        Raises:
            UsageError: there is no such set, or the model lacks emotions of it.

        """
        other = copy(self)
        other.emotions = self._chosen(emotions)
        return other

    def cut_out(self, frame: Frame, faces: Sequence[tuple[Detection, int | None]]) -> Sighting:
        """Return a frame with the crops of its `faces`, of each of which the track may be known."""
        faces = sorted(faces, key=lambda face: face[0].box)
        classifier = self._classifier
        detections = [face for face, _ in faces]
        crops = crop_faces(
            frame.pixels,
            detections,
            size=classifier.metadata.size,
            geometry=classifier.geometry,
            grey=classifier.grey,
        )
        # what the frame was made from is no longer needed, and large
        return Sighting(replace(frame, reduced=None), detections, [track for _, track in faces], crops)

    def read(self, sightings: Sequence[Sighting]) -> list[Answer]:
        """Return a result for each of `sightings`, whose faces are classified together."""
        if not sightings:
            return []
        crops = np.concatenate([sighting.crops for sighting in sightings])
        probabilities = iter(self._classifier(crops, flip=self._flip)[self._output])
        return [
            (
                sighting.frame,
                Result(
                    source=sighting.frame.source,
                    frame=sighting.frame.index,
                    time=sighting.frame.time,
                    width=sighting.frame.width,
                    height=sighting.frame.height,
                    model=self.model,
                    faces=tuple(
                        self._face(sighting.frame, face, track, next(probabilities))
                        for face, track in zip(sighting.faces, sighting.tracks, strict=True)
                    ),
                ),
            )
            for sighting in sightings
        ]

    def _face(
        self, frame: Frame, detection: Detection, track: int | None, probabilities: NDArray[np.float32]
    ) -> Face:
        scores = dict(zip(self._labels, probabilities.tolist(), strict=True))
        return Face(
            box=_clipped(detection.box, frame),
            detection=detection.score,
            scores=project(scores, self.emotions),
            landmarks=detection.landmarks,
            square=astuple(face_frame(detection, self._classifier.geometry)),
            track=track,
        )


def _clipped(box: Box, frame: Frame) -> Box:
    width, height = float(frame.width), float(frame.height)
    x1, x2 = (min(max(0.0, x), width) for x in box[::2])
    y1, y2 = (min(max(0.0, y), height) for y in box[1::2])
    return (x1, y1, x2, y2)
