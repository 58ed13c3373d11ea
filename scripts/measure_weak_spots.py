"""Where the embedded model fails → docs/embedded/weak_spots.json, which the model card's page is made of.

    python scripts/measure_weak_spots.py --data data/fer [--faces N] [--out FILE]

On FER2013's PrivateTest, against the emotion that most FERPlus raters named: harder faults than those of
`mien evaluate --robustness`, covered faces, and parts of the set that can be told apart without further labels. On
the photographs in examples/: down to which size, and to which angle, faces are found. Coverings are drawn where
FER2013's faces have their eyes and mouths on average; a real mask or hand looks otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.align import SquareFrame, crop_square
from mien.classifier import Classifier, open_classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.detectors import open_detector
from mien.emotions import Emotion
from mien.evaluation.answers import Answers, ask

ROOT = Path(__file__).resolve().parent.parent
Picture = NDArray[np.uint8]
ENLARGED = 3
"""How much a face of 48 pixels is enlarged for the detector, within a border as wide as itself."""
TURNED = 0.25
"""How far the nose lies off the middle of the eyes, in distances of the eyes, where a face counts as turned."""
SIZES = (96, 48, 32, 24, 20, 16)
"""Sides of the largest face of an example, in pixels."""
ANGLES = (0, 15, 30, 45, 60, 90, 180)
"""Degrees by which an example is turned in its plane."""


def covered(top: float, bottom: float, left: float = 0.0, right: float = 1.0, *, grey: int) -> Callable[..., Picture]:
    """Return what paints a rectangle, in shares of the crop's side, over a crop."""

    def cover(picture: Picture) -> Picture:
        side, painted = len(picture), picture.copy()
        painted[round(top * side) : round(bottom * side), round(left * side) : round(right * side)] = grey
        return painted

    return cover


def rolled(degrees: float) -> Callable[..., Picture]:
    """Return what turns a crop in its plane."""

    def roll(picture: Picture) -> Picture:
        side = len(picture)
        frame = SquareFrame(side / 2, side / 2, side, math.radians(degrees))
        turned: Picture = crop_square(np.repeat(picture[:, :, None], 3, axis=2), frame, size=side)[:, :, 0]
        return turned

    return roll


def small(side: int) -> Callable[..., Picture]:
    """Return what leaves of a crop as much as `side` pixels hold."""

    def shrink(picture: Picture) -> Picture:
        there = Image.fromarray(picture)
        size = there.size
        return np.asarray(there.resize((side, side), Image.Resampling.BOX).resize(size, Image.Resampling.BILINEAR))

    return shrink


def light(share: float, *, contrast: float = 1.0) -> Callable[..., Picture]:
    """Return what changes a crop's light, and its contrast about its mean."""

    def change(picture: Picture) -> Picture:
        mean = picture.mean()
        lit: Picture = np.clip(np.rint(((picture - mean) * contrast + mean) * share), 0, 255).astype(np.uint8)
        return lit

    return change


FAULTS: dict[str, Callable[..., Picture]] = {
    "mouth and chin covered, as by a mask": covered(0.60, 1.0, grey=200),
    "eyes covered, as by dark glasses": covered(0.24, 0.46, 0.08, 0.92, grey=20),
    "one half of the face covered": covered(0.0, 1.0, 0.5, 1.0, grey=128),
    "rolled by 30°, not put upright": rolled(30),
    "rolled by 45°, not put upright": rolled(45),
    "upside down": rolled(180),
    "only 16 pixels wide": small(16),
    "only 12 pixels wide": small(12),
    "an eighth of the light": light(0.125),
    "a fifth of the contrast": light(1.0, contrast=0.2),
    "overexposed, twice the light": light(2.0),
}


def right(answers: Answers, rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Return how many faces there are and how often the model is right, in per cent with its interval of 95%."""
    hits = answers.right if rows is None else answers.right[rows[answers.rows]]
    n, share = len(hits), float(hits.mean())
    z = 1.96  # Wilson's interval
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {
        "n": n,
        "accuracy": round(100 * share, 1),
        "interval": [round(100 * low, 1), round(100 * high, 1)],
    }


def shares(answers: Answers) -> NDArray[np.float64]:
    """Return how often each emotion is named."""
    return np.bincount(answers.named, minlength=len(answers.emotions)) / len(answers)


def votes(classifier: Classifier, faces: LabelledFaces, pictures: Picture) -> Answers:
    """Return the answers that are held against the FERPlus raters."""
    (found,) = (one for one in ask(classifier, faces, pictures=pictures) if one.labels == "ferplus")
    return found


def faults(
    classifier: Classifier, faces: LabelledFaces, pictures: Picture, clean: Answers
) -> Iterator[dict[str, Any]]:
    """Yield the accuracy under each fault, and what the faces are then called more often than without it."""
    for fault, spoil in FAULTS.items():
        spoiled = votes(classifier, faces, np.stack([spoil(picture) for picture in pictures]))
        more = shares(spoiled) - shares(clean)
        most = int(more.argmax())
        yield {
            "fault": fault,
            **right(spoiled),
            "instead": str(spoiled.emotions[most]),
            "named": [round(100 * float(shares(one)[most]), 1) for one in (clean, spoiled)],
        }


def parts(faces: LabelledFaces, pictures: Picture, clean: Answers) -> Iterator[dict[str, Any]]:
    """Yield the accuracy on parts of the set: by agreement of the raters, light, and what the detector sees."""
    assert faces.votes is not None
    agreement = faces.votes.max(axis=1) / np.maximum(faces.votes.sum(axis=1), 1)
    brightness = pictures.mean(axis=(1, 2))
    contrast = pictures.std(axis=(1, 2))
    found, turned = looks(pictures)
    for part, rows in {
        "nine or ten of ten raters agree": agreement >= 0.9,
        "seven or eight of ten agree": (agreement >= 0.7) & (agreement < 0.9),
        "six or fewer agree": agreement < 0.7,
        "the darkest tenth of the pictures": brightness <= np.quantile(brightness, 0.1),
        "the brightest tenth": brightness >= np.quantile(brightness, 0.9),
        "the tenth with the least contrast": contrast <= np.quantile(contrast, 0.1),
        "faces seen from the front, as the detector's five points have it": found & ~turned,
        "faces turned to a side, by the same points": found & turned,
        "faces that the detector does not find": ~found,
    }.items():
        yield {"part": part, **right(clean, rows)}


def looks(pictures: Picture) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether the detector finds each face (n,), and whether that is turned to a side."""
    detector = open_detector("mtcnn", min_face=48)
    found, turned = np.zeros(len(pictures), bool), np.zeros(len(pictures), bool)
    for i, picture in enumerate(pictures):
        side = len(picture)
        wide = Image.fromarray(np.pad(picture, side // 2, mode="edge")).resize((2 * side * ENLARGED,) * 2)
        (detections,) = detector([mien.Frame(np.asarray(wide.convert("RGB")), source=str(i), index=i)])
        if detections:
            best = max(detections, key=lambda one: one.box[2] - one.box[0])
            found[i] = True
            if best.landmarks is not None:
                left, right_, nose = (np.array(best.landmarks[k]) for k in range(3))
                axis = right_ - left
                off = float((nose - (left + right_) / 2) @ axis) / float(axis @ axis)
                turned[i] = abs(off) > TURNED
    return found, turned


def examples() -> dict[str, list[dict[str, Any]]]:
    """Return how many of the faces in examples/ are found, and named as in the whole picture, small and turned."""
    analyzer = mien.Analyzer()
    by_size, by_angle = [], []
    pictures = [Image.open(path).convert("RGB") for path in sorted((ROOT / "examples").glob("*.jpg"))]
    there = [analyzer.analyze(np.asarray(picture)).faces for picture in pictures]
    for side in SIZES:
        found = same = 0
        for picture, faces in zip(pictures, there, strict=True):
            scale = side / max(face.box[2] - face.box[0] for face in faces)
            size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
            now = analyzer.analyze(np.asarray(picture.resize(size, Image.Resampling.LANCZOS))).faces
            found, same = found + min(len(now), len(faces)), same + agreeing(now, faces, scale)
        by_size.append({"side": side, "found": found, "same": same, "of": sum(map(len, there))})
    for angle in ANGLES:
        found = 0
        for picture, faces in zip(pictures, there, strict=True):
            turned = picture.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
            found += min(len(analyzer.analyze(np.asarray(turned)).faces), len(faces))
        by_angle.append({"angle": angle, "found": found, "of": sum(map(len, there))})
    return {"sizes": by_size, "angles": by_angle}


def agreeing(now: tuple[mien.Face, ...], faces: tuple[mien.Face, ...], scale: float) -> int:
    """Return how many faces have the same emotion as the one at the same place in the whole picture."""

    def middle(face: mien.Face) -> NDArray[np.float64]:
        return np.array([(face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2])

    return sum(
        face.emotion == min(faces, key=lambda one: float(np.abs(middle(one) * scale - middle(face)).sum())).emotion
        for face in now
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="FER2013, as `mien data unpack-fer` makes it.")
    parser.add_argument("--faces", type=int, help="Only the first so many, for a trial.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "embedded" / "weak_spots.json")
    asked = parser.parse_args()
    classifier = open_classifier("embedded")
    faces = read_labelled_faces(asked.data).split("private_test")
    faces = faces.select(np.arange(len(faces))[: asked.faces])
    pictures = faces.pictures(classifier.metadata.size, grey=True)
    clean = votes(classifier, faces, pictures)
    confusion = [
        [int(((clean.wanted == i) & (clean.named == j)).sum()) for j in range(len(clean.emotions))]
        for i in range(len(clean.emotions))
    ]
    found = {
        "model": classifier.identity,
        "clean": right(clean),
        "emotions": [str(Emotion(emotion)) for emotion in clean.emotions],
        "confusion": confusion,
        "faults": list(faults(classifier, faces, pictures, clean)),
        "parts": list(parts(faces, pictures, clean)),
        **examples(),
    }
    asked.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{asked.out}: {len(faces)} faces")


if __name__ == "__main__":
    main()
