"""Whether a change of the detector loses faces: `python -m benchmarks.faces --data DATA --out FILE`; then --against.

Looks at the shared test media at several sizes, and at faces of a labelled data set pasted into pictures of nobody at
sizes from 26 to 260 pixels; tells how many are found, and what another run found that this one does not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from benchmarks.pictures import SHARED, six_people
from mien.datasets.labelled import read_labelled_faces
from mien.detectors import open_detector
from mien.results import Box, Frame
from mien.sources import open_media, read_picture

_SIZES = ((640, 480), (960, 540), (480, 640))
_PASTED = 5  # faces in a picture, at most

Found = dict[str, list[list[float]]]
"""Boxes by picture; those of pasted faces begin with `pasted`."""


def main() -> None:
    """Find the faces, write where they are, and compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="labelled faces to paste, as `mien data` writes them"
    )
    parser.add_argument("--pictures", type=int, default=250, metavar="N", help="with pasted faces (250)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the boxes as JSON")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with the boxes of another run")
    arguments = parser.parse_args()
    detector = open_detector("mtcnn")
    found: Found = {}
    truth: dict[str, list[Box]] = {}
    frames = list(_media())
    if arguments.data is not None:
        pasted = list(
            _pasted(arguments.data, [one for one in frames if one.source == "no_face.mp4"], arguments.pictures)
        )
        truth = {frame.source: boxes for frame, boxes in pasted}
        frames += [frame for frame, _ in pasted]
    for i, frame in enumerate(frames):
        name = frame.source if frame.source in truth else f"{frame.source} {i}"
        found[name] = [[*face.box, face.score or 0.0] for face in detector([frame])[0]]
    print(f"media: {sum(len(boxes) for name, boxes in found.items() if name not in truth)} faces")
    if truth:
        hits, others = _hits(found, truth)
        print(f"pasted: {len(hits)} of {sum(map(len, truth.values()))} found, and {others} where none was pasted")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found) + "\n", "utf-8")
    if arguments.against is not None:
        before: Found = json.loads(arguments.against.read_text("utf-8"))
        for what, one, other in (("lost", before, found), ("gained", found, before)):
            missing = [(name, box) for name in one for box in one[name] if not _among(box, other.get(name, []))]
            print(f"{what}: {len(missing)}")
            for name, box in missing[:20]:
                print(f"  {name}: {', '.join(f'{edge:.0f}' for edge in box[:4])} ({box[4]:.3f})")


def _media() -> Iterator[Frame]:
    """Yield the shared pictures at several sizes, and frames of the clips."""
    for name in ("five_people.jpg", "astronaut.png"):
        with Image.open(SHARED / name) as stored:
            picture = stored.convert("RGB")
        for factor in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0):
            size = (round(picture.width * factor), round(picture.height * factor))
            yield Frame(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)), f"{name} x{factor}")
    if (six := six_people()) is not None:
        yield read_picture(six, name="six people")
    for name in ("two_faces.gif", "three_people_walking.gif"):
        with Image.open(SHARED / name) as clip:
            for image in list(ImageSequence.Iterator(clip))[::3]:
                yield Frame(np.asarray(image.convert("RGB")), name)
    for name, every in (("no_face.mp4", 4), ("one_face_20s.mp4", 12)):
        with open_media(SHARED / name) as media:
            for frame in media.frames:
                if frame.index % every == 0:
                    yield Frame(frame.pixels, name)


def _pasted(data: Path, backgrounds: list[Frame], count: int) -> Iterator[tuple[Frame, list[Box]]]:
    """Yield pictures with faces pasted in, and where."""
    random = np.random.default_rng(7)
    faces = read_labelled_faces(data).split("train")
    some = faces.select(np.sort(random.permutation(len(faces))[: count * _PASTED]))
    portraits = iter(random.permutation(some.pictures(48, grey=True)))
    for i in range(count):
        width, height = _SIZES[i % len(_SIZES)]
        picture = Image.fromarray(backgrounds[random.integers(len(backgrounds))].pixels).resize((width, height))
        boxes: list[Box] = []
        for _ in range(60):
            side = int(np.exp(random.uniform(np.log(26), np.log(260))))
            x, y = int(random.integers(width - side + 1)), int(random.integers(height - side + 1))
            if len(boxes) < _PASTED and not any(
                x < x2 + 8 and x1 < x + side + 8 and y < y2 + 8 and y1 < y + side + 8 for x1, y1, x2, y2 in boxes
            ):
                face = Image.fromarray(next(portraits)).convert("RGB")
                picture.paste(face.resize((side, side), Image.Resampling.BICUBIC), (x, y))
                boxes.append((x, y, x + side, y + side))
        yield Frame(np.asarray(picture), f"pasted {i}"), boxes


def _hits(found: Found, truth: dict[str, list[Box]]) -> tuple[set[tuple[str, int]], int]:
    """Return which pasted faces are found, and how many boxes are about none."""
    hits: set[tuple[str, int]] = set()
    others = 0
    for name, boxes in truth.items():
        for x1, y1, x2, y2, _ in found[name]:
            x, y, side = (x1 + x2) / 2, (y1 + y2) / 2, ((x2 - x1) * (y2 - y1)) ** 0.5
            about = [
                i
                for i, (a, b, c, d) in enumerate(boxes)
                if a < x < c and b < y < d and 0.5 < side / (c - a) < 1.6 and (name, i) not in hits
            ]
            hits.update((name, i) for i in about[:1])
            others += not about
    return hits, others


def _among(box: list[float], boxes: list[list[float]]) -> bool:
    """Return whether one of `boxes` overlaps `box` by more than half."""
    for other in boxes:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        shared = max(0.0, width) * max(0.0, height)
        areas = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
        if shared > 0.5 * (areas - shared):
            return True
    return False


if __name__ == "__main__":
    main()
