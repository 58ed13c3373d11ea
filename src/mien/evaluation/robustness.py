"""How much of its accuracy a model keeps on faces that a detector, a phone or the light has spoiled.

The faults are put into the crops as they are shown to the model, as in Hendrycks and Dietterich, "Benchmarking
neural network robustness to common corruptions and perturbations" (2019): a figure for each, against the clean one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.align import SquareFrame, crop_square
from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.emotions import Emotion, set_name
from mien.evaluation.answers import ask

Picture = NDArray[np.uint8]
Spoil = Callable[[Picture, np.random.Generator], Picture]

JITTER = 0.1
"""Of the box's side: how far its centre lies off across and down, and its side, each even within plus and minus."""
ROLL = 15.0
"""Degrees of roll that were not put upright."""
JPEG_QUALITY = 30
"""In Pillow's scale, 1 to 95, with its default subsampling of colour."""
BRIGHTNESS = 0.3
"""More or less light, as a share."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """The accuracy under one fault, of one labelling.

    Attributes:
        fault: in words; the first of a labelling is `none`.
        labels, output, emotions: as in `Answers`.
        n: faces.
        accuracy: in percent; of a fault that has two directions, in the worse one.
        fall: in points, below that without a fault.

    """

    fault: str
    labels: str
    output: str
    emotions: tuple[Emotion, ...]
    n: int
    accuracy: float
    fall: float

    def to_record(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        rounded = {"accuracy": round(self.accuracy, 2), "fall": round(self.fall, 2)}
        return {**asdict(self), "emotions": set_name(self.emotions), **rounded}


def robustness(classifier: Classifier, faces: LabelledFaces, *, split: str) -> list[Robustness]:
    """Return the accuracy in one pass without a fault and under each of `FAULTS`, labelling by labelling.

    Random faults are the same at every call.

    Raises:
        DataError: the set has no such split, or no face of it a label that counts.
        SourceError: a picture cannot be read.

    """
    chosen = faces.split(split)
    pictures = chosen.pictures(classifier.metadata.size, grey=classifier.grey)
    clean = ask(classifier, chosen, pictures=pictures)
    lowest = {"none": [100.0 * float(one.right.mean()) for one in clean]}
    for fault, directions in FAULTS.items():
        accuracies = []
        for spoil in directions:
            random = np.random.default_rng(0)
            spoiled = np.stack([spoil(picture, random) for picture in pictures])
            answers = ask(classifier, chosen, pictures=spoiled)
            accuracies.append([100.0 * float(one.right.mean()) for one in answers])
        lowest[fault] = [min(column) for column in zip(*accuracies, strict=True)]
    return [
        Robustness(fault, one.labels, one.output, one.emotions, len(one), values[i], lowest["none"][i] - values[i])
        for i, one in enumerate(clean)
        for fault, values in lowest.items()
    ]


def _jittered(picture: Picture, random: np.random.Generator) -> Picture:
    across, down, wider = random.uniform(-JITTER, JITTER, 3)
    side = len(picture)
    return _cut(picture, SquareFrame(side * (0.5 + across), side * (0.5 + down), side * (1 + wider)))


def _rolled(degrees: float) -> Spoil:
    def roll(picture: Picture, _: np.random.Generator) -> Picture:
        side = len(picture)
        return _cut(picture, SquareFrame(side / 2, side / 2, side, math.radians(degrees)))

    return roll


def _cut(picture: Picture, frame: SquareFrame) -> Picture:
    """Return what lies in `frame`; what lies beyond the picture is the picture reflected."""
    grey = picture.ndim == 2
    pixels = np.repeat(picture[:, :, None], 3, axis=2) if grey else picture
    cut = crop_square(pixels, frame, size=len(picture))
    return cut[:, :, 0] if grey else cut


def _compressed(picture: Picture, _: np.random.Generator) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
    with Image.open(buffer) as image:
        return np.asarray(image)


def _halved(picture: Picture, _: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    small = Image.fromarray(picture).resize((width // 2, height // 2), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _lit(share: float) -> Spoil:
    def light(picture: Picture, _: np.random.Generator) -> Picture:
        values: Picture = np.clip(np.rint(picture * share), 0, 255).astype(np.uint8)
        return values

    return light


FAULTS: dict[str, tuple[Spoil, ...]] = {
    "box jitter ±10%": (_jittered,),
    "roll ±15°": (_rolled(-ROLL), _rolled(ROLL)),
    "JPEG quality 30": (_compressed,),
    "half resolution": (_halved,),
    "brightness ±30%": (_lit(1 - BRIGHTNESS), _lit(1 + BRIGHTNESS)),
}
"""What can be wrong with a crop; where there are two directions, the worse counts."""
