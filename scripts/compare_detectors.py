"""Compare MTCNN and YuNet: processor time, faces found, and what their crops are worth to the classifier.

    python scripts/compare_detectors.py speed
    python scripts/compare_detectors.py found DATA
    python scripts/compare_detectors.py media FILE…
    python scripts/compare_detectors.py crops DATA

DATA is a labelled folder of FER2013, such as `mien data unpack-fer` makes; its split public_test is used. `speed`
runs both detectors in turn on the scenes of `mien bench`. `found` pastes faces into pictures: at many sizes, turned,
and filling all of it. `media` counts the faces in pictures and films of yours, also made smaller. `crops` cuts the
same faces out by the boxes and landmarks of either, and compares where they lie and what the model answers.
docs/detectors.md quotes what it prints.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from derive_geometry import BATCH, SIDE, distance_from_centre, enlarged
from mien.align import crop_faces, face_frame
from mien.classifier import open_classifier
from mien.cli.columns import in_columns
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.detectors import Detector, open_detector
from mien.evaluation.scenes import GRIDS, scene
from mien.evaluation.truth import ferplus_majority, positions
from mien.results import Box, Detection, Frame
from mien.sources import open_media

NAMES = ("mtcnn", "yunet")
SIZES = (16, 20, 24, 32, 48, 96, 200, 400)
TURNS = (15, 30, 45)
FILLING = (48, 100, 224, 480, 1000)
SHOWN = (1280, 720)
TIMED = ((640, 360), SHOWN, (4000, 3000))
TINY = 12.0
"""The smallest face that both are told to look for where those of 16 to 24 pixels are wanted."""
FRAMES, STEP = 40, 4  # of a film

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

Pictures = NDArray[np.uint8]
Scene = tuple[Frame, list[Box]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found of the faces in some scenes.

    Attributes:
        faces: how many of them.
        of: how many there are.
        more: detections where there is none.

    """

    faces: int
    of: int
    more: int

    def __str__(self) -> str:
        return f"{100 * self.faces / self.of:.0f}%" + (f" (+{self.more})" if self.more else "")


def backdrop(seed: int, size: tuple[int, int]) -> Image.Image:
    """Return a picture without faces."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def pasted(pictures: Pictures, side: int, *, turn: float = 0.0) -> Iterator[Scene]:
    """Yield pictures of 1280x720 with faces (n, 48, 48) in rows, each of so many pixels and turned by degrees."""
    step = side + max(16, side // 2)
    columns, rows = SHOWN[0] // step, max(1, (SHOWN[1] - 8) // step)
    each = min(24, columns * rows)
    for start in range(0, len(pictures), each):
        canvas, places = backdrop(start, SHOWN), []
        for k, picture in enumerate(pictures[start : start + each]):
            x, y = 8 + k % columns * step, 8 + k // columns * step
            tile = Image.fromarray(picture).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            mask = Image.new("L", tile.size, 255).rotate(turn)
            canvas.paste(tile.rotate(turn, Image.Resampling.BICUBIC), (x, y), mask)
            places.append((float(x), float(y), float(x + side), float(y + side)))
        yield Frame(np.asarray(canvas), f"{side} pixels"), places


def filling(pictures: Pictures, side: int) -> Iterator[Scene]:
    """Yield pictures (side, side) that are a face and nothing else."""
    for picture in pictures:
        whole = Image.fromarray(picture).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        yield Frame(np.asarray(whole), "filling"), [(0.0, 0.0, float(side), float(side))]


def look(detector: Detector, scenes: Sequence[Scene]) -> Found:
    """Return what the detector finds; a face is found where boxes overlap by more than a third."""
    faces = of = more = 0
    for frame, places in scenes:
        boxes = [face.box for face in detector([frame])[0]]
        hits = [any(overlap(box, place) > 1 / 3 for box in boxes) for place in places]
        faces, of = faces + sum(hits), of + len(places)
        more += sum(not any(overlap(box, place) > 0.2 for place in places) for box in boxes)
    return Found(faces, of, more)


def overlap(a: Box, b: Box) -> float:
    """Return intersection over union."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    return shared / (sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)) - shared)


def conditions(pictures: Pictures) -> Iterator[tuple[str, float, list[Scene]]]:
    """Yield what is looked at, the smallest face to look for, and the scenes."""
    for side in SIZES:
        few = pictures[: 24 if side == max(SIZES) else None]
        if side <= 24:
            yield f"{side} pixels, --min-face {TINY:g}", TINY, list(pasted(few, side))
        yield f"{side} pixels", 24.0, list(pasted(few, side))
    for turn in TURNS:
        yield f"200 pixels, turned by {turn} degrees", 24.0, list(pasted(pictures, 200, turn=turn))
    for side in FILLING:
        yield f"all of {side}x{side}", 24.0, list(filling(pictures, side))


def cpu_times(detectors: Mapping[str, Detector], frame: Frame, runs: int) -> dict[str, float]:
    """Return the median milliseconds of processor time, the detectors taking turns; the first turn does not count."""
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for _ in range(runs + 1):
        for name, detector in detectors.items():
            began = time.process_time()
            detector([frame])
            times[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


@app.command()
def speed(runs: Annotated[int, typer.Option(help="Turns, of which the median counts.")] = 7) -> None:
    """Print processor time on scenes with 1, 6 and 30 faces, at three sizes."""
    detectors = {name: open_detector(name) for name in NAMES}
    rows = []
    for size in TIMED:
        for faces in GRIDS:
            frame = scene(faces, size)
            taken = cpu_times(detectors, frame, runs)
            counts = [str(len(detector([frame])[0])) for detector in detectors.values()]
            rows.append(
                (f"{size[0]}x{size[1]}", str(faces), *(f"{taken[name]:.0f} ms" for name in NAMES),
                 f"{taken['mtcnn'] / taken['yunet']:.1f}", *counts)
            )  # fmt: skip
    print(in_columns(("picture", "faces", *NAMES, "ratio", "found", "found"), rows, right=range(1, 7)))


@app.command()
def found(data: Path, count: Annotated[int, typer.Option(help="Faces to paste.")] = 96) -> None:
    """Print how many faces are found at many sizes, turned, and filling the picture."""
    pictures = sample(read_labelled_faces(data).split("public_test"), count).pictures(SIDE)
    rows = []
    for what, smallest, scenes in conditions(pictures):
        seen = [look(open_detector(name, min_face=smallest), scenes) for name in NAMES]
        rows.append((what, str(seen[0].of), *map(str, seen)))
    print(in_columns(("faces of", "n", *NAMES), rows, right=(1, 2, 3)))


@app.command()
def media(files: list[Path]) -> None:
    """Print how many faces are found in pictures and films, a frame in four, at their size and made smaller."""
    detectors = [open_detector(name, min_face=TINY) for name in NAMES]
    rows = []
    for file in files:
        with open_media(file) as opened:
            frames = list(islice(opened.frames, 0, FRAMES * STEP, STEP))
        for part in (1, 2, 4, 8):
            smaller = [shrunk(frame, part) for frame in frames]
            counts = [sum(map(len, detector(smaller))) for detector in detectors]
            shown = f"{smaller[0].width}x{smaller[0].height}"
            rows.append((file.name, shown, str(len(frames)), *map(str, counts)))
    print(in_columns(("file", "size", "frames", *NAMES), rows, right=(2, 3, 4)))


def shrunk(frame: Frame, part: int) -> Frame:
    return Frame(np.asarray(Image.fromarray(frame.pixels).reduce(part)), frame.source)


@app.command()
def crops(
    data: Path,
    model: Annotated[str, typer.Option(help="A model by name or path.")] = "embedded",
    count: Annotated[int | None, typer.Option(help="Faces to look at. Default: all.")] = None,
) -> None:
    """Print where either detector's frames lie, and the model's accuracy on its crops of the faces that both find."""
    faces = read_labelled_faces(data).split("public_test")
    faces = faces if count is None else sample(faces, count)
    both = list(found_by_both(faces))
    known = faces.select(np.array([row for row, _, _ in both]))
    classifier = open_classifier(model)
    frames = [[face_frame(one, classifier.geometry) for one in found] for _, _, found in both]
    print(f"{len(both)} of {len(faces)} faces are found by both; yunet's frame beside mtcnn's, 25%, median, 75 %:")
    measures = {
        "side": [b.side / a.side for a, b in frames],
        "across": [(b.x - a.x) / a.side for a, b in frames],
        "down": [(b.y - a.y) / a.side for a, b in frames],
        "turn": [np.degrees(b.turn - a.turn) for a, b in frames],
    }
    for name, values in measures.items():
        print(f"  {name:6s} " + "  ".join(f"{value:6.3f}" for value in np.percentile(values, [25, 50, 75])))
    truths = {"fer2013": known.labels, "votes": ferplus_majority(known)}
    answers = {"as they are": classifier(known.pictures(SIDE))}
    for k, name in enumerate(NAMES):
        cut = [
            crop_faces(frame.pixels, [two[k]], size=SIDE, geometry=classifier.geometry)[0] for _, frame, two in both
        ]
        answers[name] = classifier(np.stack(cut))
    rows = []
    for i, output in enumerate(classifier.metadata.outputs):
        wanted = positions(truths[output.name], output.labels)
        for name, given in answers.items():
            right = (given[i].argmax(axis=1) == wanted)[wanted >= 0]
            rows.append((output.name, name, str(len(right)), f"{100 * right.mean():.2f}%"))
    print(in_columns(("labels", "crops", "n", "accuracy"), rows, right=(2, 3)))


def found_by_both(faces: LabelledFaces) -> Iterator[tuple[int, Frame, tuple[Detection, Detection]]]:
    """Yield (row, enlarged padded picture, its most central face by each) of what both detectors find."""
    detectors = [open_detector(name, min_face=60) for name in NAMES]
    pictures = faces.pictures(SIDE)
    for start in range(0, len(faces), BATCH):
        frames = [Frame(enlarged(picture), "") for picture in pictures[start : start + BATCH]]
        seen = zip(frames, *(detector(frames) for detector in detectors), strict=True)
        for row, (frame, some, others) in enumerate(seen, start=start):
            if some and others:
                central = [min(ones, key=lambda one: distance_from_centre(one, frame)) for ones in (some, others)]
                yield row, frame, (central[0], central[1])


def sample(faces: LabelledFaces, count: int) -> LabelledFaces:
    return faces.select(np.random.default_rng(0).permutation(len(faces))[:count])


if __name__ == "__main__":
    app()
