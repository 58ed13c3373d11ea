"""Measure the geometry of a set of finished face crops, and what cutting faces by it costs.

    python scripts/derive_geometry.py measure DATA
    python scripts/derive_geometry.py cost DATA --model embedded
    python scripts/derive_geometry.py sheet DATA OUT.png PHOTO…

DATA is a labelled folder such as `mien data unpack-fer` makes. `measure` runs the detector on pictures of
its split train, enlarged and padded by reflection, and prints where the picture's frame lies about the
detector's boxes: the numbers of `mien.align.Geometry`. `cost` finds the faces of public_test in the same
way, cuts them again by the geometry, and compares the model's accuracy with that on the pictures as they
are. `sheet` puts crops from photographs beside pictures of the set, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from mien.align import FER2013, crop_faces
from mien.classifier import open_classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.detectors import Mtcnn
from mien.evaluation.truth import ferplus_majority, positions
from mien.results import Detection, Frame
from mien.sources import read_picture

SIDE, ZOOM, PADDING = 48, 4, 24
BATCH = 50

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


def found_faces(faces: LabelledFaces) -> Iterator[tuple[int, Frame, Detection]]:
    """Yield (row, enlarged padded picture, most central face) for the rows in which a face is found."""
    detector = Mtcnn(min_face=60)
    pictures = faces.pictures(SIDE)
    for start in range(0, len(faces), BATCH):
        frames = [Frame(enlarged(picture), "") for picture in pictures[start : start + BATCH]]
        for row, (frame, detections) in enumerate(zip(frames, detector(frames), strict=True), start=start):
            if detections:
                yield row, frame, min(detections, key=lambda found: distance_from_centre(found, frame))


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture (48, 48) padded by reflection and four times as large, in RGB."""
    padded = Image.fromarray(np.pad(picture, PADDING, mode="symmetric"))
    side = padded.width * ZOOM
    return np.asarray(padded.resize((side, side), Image.Resampling.BICUBIC).convert("RGB"))


def distance_from_centre(detection: Detection, frame: Frame) -> float:
    x1, y1, x2, y2 = detection.box
    return abs((x1 + x2) - frame.width) + abs((y1 + y2) - frame.height)


def sample(faces: LabelledFaces, count: int) -> LabelledFaces:
    return faces.select(np.random.default_rng(0).permutation(len(faces))[:count])


@app.command()
def measure(data: Path, count: Annotated[int, typer.Option(help="Pictures to look at.")] = 4000) -> None:
    """Print scale and offset of the frame about the detector's boxes."""
    faces = sample(read_labelled_faces(data).split("train"), count)
    rows = []
    for _, frame, detection in found_faces(faces):
        x1, y1, x2, y2 = detection.box
        size = np.sqrt((x2 - x1) * (y2 - y1))
        centre = frame.width / 2
        rows.append([SIDE * ZOOM / size, (centre - (x1 + x2) / 2) / size, (centre - (y1 + y2) / 2) / size])
    print(f"{len(rows)} faces found in {len(faces)} pictures; 25%, median, 75 %:")
    for name, values in zip(("scale", "across", "down"), np.array(rows).T, strict=True):
        print(f"  {name:6s} " + "  ".join(f"{value:6.3f}" for value in np.percentile(values, [25, 50, 75])))


@app.command()
def cost(
    data: Path,
    model: Annotated[str, typer.Option(help="A model by name or path.")] = "embedded",
    split: Annotated[str, typer.Option(help="The split to compare on.")] = "public_test",
) -> None:
    """Print accuracy on the pictures as they are, and on the same faces found and cut again."""
    faces = read_labelled_faces(data).split(split)
    classifier = open_classifier(model)
    rows, crops = [], []
    for row, frame, detection in found_faces(faces):
        rows.append(row)
        crops.append(crop_faces(frame.pixels, [detection], size=SIDE, geometry=classifier.geometry)[0])
    found = faces.select(np.array(rows))
    print(f"{split}: {len(found)} faces found in {len(faces)} pictures")
    as_they_are, cut_again = classifier(found.pictures(SIDE)), classifier(np.stack(crops))
    truths = {"fer2013": found.labels, "votes": ferplus_majority(found)}
    for output, before, after in zip(classifier.metadata.outputs, as_they_are, cut_again, strict=True):
        wanted = positions(truths[output.name], output.labels)
        known = wanted >= 0
        accuracies = [100 * (p.argmax(axis=1) == wanted)[known].mean() for p in (before, after)]
        print(f"  {output.name:8s} as they are {accuracies[0]:.2f}%, cut again {accuracies[1]:.2f}%")


@app.command()
def sheet(data: Path, out: Path, photos: list[Path]) -> None:
    """Write a sheet: crops from PHOTOS in the upper rows, pictures of the set in the lower ones."""
    detector = Mtcnn()
    crops: list[NDArray[np.uint8]] = []
    for photo in photos:
        frame = read_picture(photo)
        crops += list(crop_faces(frame.pixels, detector([frame])[0], size=SIDE, geometry=FER2013))
    columns = 8
    cut = max(1, -(-len(crops) // columns)) * columns
    pictures = sample(read_labelled_faces(data).split("train"), 4 * columns).pictures(SIDE)
    tiles = np.full((cut + len(pictures), SIDE, SIDE), 255, np.uint8)
    tiles[: len(crops)], tiles[cut:] = np.stack(crops), pictures
    rows = len(tiles) // columns
    grid = tiles.reshape(rows, columns, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, columns * SIDE)
    Image.fromarray(grid).resize((columns * SIDE * 3, rows * SIDE * 3), Image.Resampling.LANCZOS).save(out)


if __name__ == "__main__":
    app()
