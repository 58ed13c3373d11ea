"""What is found in each picture, and a file that keeps it: whoever is ended and started again finds nothing twice.

A line of the file is a picture, by the sha256 of its bytes and the settings it was looked at with. Lines are only
ever added; one that is cut short or damaged is as if it were not there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.collect.likeness import VIEW, view
from mien.collect.pooling import in_threads
from mien.collect.sharpness import sharpness
from mien.detectors import Detector, open_detector
from mien.errors import OutputError, SourceError
from mien.results import Detection
from mien.sources import read_picture
from mien.whole import write_whole

KEPT = ".cleaning.jsonl"
"""The name of the file, in the folder that is cleaned."""

_VERSION = 1  # of what a line says; another makes those before it worthless


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A face that was found.

    Attributes:
        detection: where it is.
        sharpness: variance of the Laplacian.
        view: the face and what is around it, for `mien.collect.likeness`.

    """

    detection: Detection
    sharpness: float
    view: NDArray[np.uint8]

    @property
    def side(self) -> float:
        """Size of the face in pixels: the root of its box's area."""
        x1, y1, x2, y2 = self.detection.box
        return math.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1))


@dataclass(frozen=True, slots=True)
class Finding:
    """What is in a picture.

    Attributes:
        sha256: of its bytes; empty where they cannot be read.
        faces: from left to right.
        error: why it cannot be looked at; None where it can.

    """

    sha256: str
    faces: tuple[Seen, ...] = ()
    error: str | None = None


class Finder:
    """Looks for faces in pictures, in as many threads as there are cores, and keeps what it finds."""

    def __init__(self, kept: Path, *, detector: str = "mtcnn") -> None:
        """Read what an earlier run has kept.

        Args:
            kept: the file; it is made where it is not there.
            detector: as for `open_detector`.

        Raises:
            OutputError: the file cannot be written.

        """
        self._settings = f"{detector} {_VERSION}"
        self._name = detector
        self._detector: Detector | None = None
        self._loading = threading.Lock()
        self._path = kept
        try:
            self._file = kept.open("ab+")
            self._known = dict(self._read())
        except OSError as error:
            raise OutputError(f"{kept}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def find(self, pictures: Iterable[Path]) -> Iterator[Finding]:
        """Yield what is in each of `pictures`, in their order.

        Raises:
            OutputError: it cannot be kept.

        """
        for finding, new in in_threads(self._look, pictures):
            yield self._keep(finding, new)

    def _look(self, path: Path) -> tuple[Finding, bool]:
        """Return what is in a picture, and whether that was not known before."""
        if not path.is_file():  # such as a pipe, which has no end
            return Finding("", error="there is no such file"), False
        try:
            content = path.read_bytes()
        except OSError as error:
            return Finding("", error=f"cannot be read ({error.strerror or error})"), False
        sha256 = hashlib.sha256(content).hexdigest()
        if (known := self._known.get(sha256)) is not None:
            return known, False
        try:
            frame = read_picture(content, name="_")
        except SourceError as error:  # which an optional part, installed meanwhile, may mend: it is not kept
            return Finding(sha256, error=str(error).removeprefix("_: ")), False
        found = sorted(self._faces()([frame])[0], key=lambda face: face.box)
        faces = (Seen(face, sharpness(frame.pixels, face), view(frame.pixels, face)) for face in found)
        return Finding(sha256, tuple(faces)), True

    def _faces(self) -> Detector:
        with self._loading:
            if self._detector is None:
                # a thread for each picture: what one finds does not depend then on how many cores there are
                self._detector = open_detector(self._name, threads=1)
            return self._detector

    def _keep(self, finding: Finding, new: bool) -> Finding:
        if new and finding.sha256 not in self._known:
            self._known[finding.sha256] = finding
            line = json.dumps({"picture": finding.sha256, "by": self._settings, **_to_record(finding)})
            try:
                self._file.write(f"{line}\n".encode())
                self._file.flush()
            except OSError as error:
                raise OutputError(f"{self._path}: cannot be written ({error.strerror or error})") from error
        return finding

    def _read(self) -> Iterator[tuple[str, Finding]]:
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(end)
                break
            end += len(line)
            try:
                record = json.loads(line)
                if record["by"] == self._settings:
                    finding = _from_record(record)
                    yield finding.sha256, finding
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
                continue
        self._file.seek(0, os.SEEK_END)


def forget(folder: Path, pictures: Container[str]) -> None:
    """Take out of what is kept in `folder`, if anything is, the lines of `pictures`, given by their sha256.

    Raises:
        OSError: it cannot be read.
        OutputError: it cannot be written.

    """
    path = folder / KEPT
    if not path.is_file():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    left = [line for line in lines if _picture(line) not in pictures]
    if len(left) < len(lines):
        write_whole(path, b"".join(left))


def _picture(line: bytes) -> str:
    try:
        return str(json.loads(line)["picture"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _to_record(finding: Finding) -> dict[str, Any]:
    return {
        "faces": [
            {
                "box": face.detection.box,
                "score": face.detection.score,
                "landmarks": face.detection.landmarks,
                "crop": face.detection.is_crop,
                "sharpness": face.sharpness,
                "view": base64.b64encode(face.view.tobytes()).decode("ascii"),
            }
            for face in finding.faces
        ]
    }


def _from_record(record: Mapping[str, Any]) -> Finding:
    return Finding(str(record["picture"]), tuple(map(_face, record["faces"])))


def _face(record: Mapping[str, Any]) -> Seen:
    x1, y1, x2, y2 = map(float, record["box"])
    landmarks, score = record["landmarks"], record["score"]
    detection = Detection(
        box=(x1, y1, x2, y2),
        score=None if score is None else float(score),
        landmarks=None if landmarks is None else tuple((float(x), float(y)) for x, y in landmarks),
        is_crop=bool(record["crop"]),
    )
    numbers = [*detection.box, detection.score or 0.0, *(n for point in detection.landmarks or () for n in point)]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a face is nowhere")
    pixels = np.frombuffer(base64.b64decode(record["view"]), np.uint8).reshape(VIEW, VIEW)
    return Seen(detection, float(record["sharpness"]), pixels)
