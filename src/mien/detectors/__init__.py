"""Where the faces are: the protocol, and the detectors by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mien.detectors.mtcnn import Mtcnn
from mien.detectors.whole import WholePicture
from mien.errors import UsageError
from mien.results import Box, Detection, Frame

__all__ = ["Detector", "Follower", "Mtcnn", "WholePicture", "open_detector"]

NAMES = ("mtcnn", "none")


class Detector(Protocol):
    """Finds the faces in a batch of frames."""

    def __call__(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        """Return the faces of each frame, in the order of `frames`; none is an empty list."""
        ...


@runtime_checkable
class Follower(Protocol):
    """What a detector may offer besides: to look again where faces were a moment ago, for far less work."""

    def follow(self, frame: Frame, boxes: Sequence[Box]) -> list[Detection | None]:
        """Return for each of `boxes`, from an earlier frame, the face that is about there now, or None."""
        ...


def open_detector(name: str, *, min_face: float | None = None, threads: int | None = None) -> Detector:
    """Return the detector called `name`, ready to run.

    Args:
        name: `mtcnn`, or `none` where every picture is already a face.
        min_face: side in pixels of the smallest face to look for; None is the detector's default.
        threads: how many to compute with; None is one for each core.

    Raises:
        UsageError: there is no such detector, or `min_face` is not one it can look for.

    """
    if name == "mtcnn":
        return Mtcnn(threads=threads) if min_face is None else Mtcnn(min_face=min_face, threads=threads)
    if name == "none" and min_face is None:
        return WholePicture()
    if name == "none":
        raise UsageError("without a detector there is no smallest face to look for: leave out --min-face (min_face=)")
    raise UsageError(f"there is no detector {name!r}: choose one of {', '.join(NAMES)}")
