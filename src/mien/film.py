"""The road of a film: its stages, which overlap in threads of their own and never hold more than a few frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.ahead import ahead
from mien.results import Detection, Frame, Result
from mien.tracking import Smoother

Item = TypeVar("Item")
Stage = Generator[Item, None, None]

_WAITING = 12 << 20  # bytes of pixels before each stage; of frames that alone have more, as in 4K, nothing waits
_FEWEST, _MOST = 2, 16  # frames there
_FRAMES, _FACES, _BATCH = 8, 16, 24 << 20  # classified at once: so many, or fewer on which are so many faces or bytes


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A frame and the faces in it, ready to be classified.

    Attributes:
        frame: the picture.
        faces: n of them.
        tracks: the number of each face's person; None in still pictures.
        crops: as the classifier takes them, shape (n, size, size[, 3]).

    """

    frame: Frame
    faces: Sequence[Detection]
    tracks: Sequence[int | None]
    crops: NDArray[np.uint8]


Answer = tuple[Frame, Result]


def answers(
    first: Frame,
    others: Stage[Frame],
    *,
    see: Callable[[Frame], Sighting],
    classify: Callable[[Sequence[Sighting]], Sequence[Answer]],
    smoother: Smoother | None,
    live: bool,
) -> Stage[Answer]:
    """Yield each frame of a film with its result.

    Args:
        first: the first frame.
        others: those after it.
        see: finds the faces in a frame that comes after those before.
        classify: answers for all faces of several frames at once.
        smoother: of the scores over time.
        live: nothing may wait, since it would be old when its turn comes: all stages run in turn.

    """
    frames, size = _chained(first, others), first.pixels.nbytes
    del first
    if live or size > _WAITING:
        found = _classified(_seen(frames, see), classify, frames=1)
    else:
        most = max(_FEWEST, min(_MOST, _WAITING // size))
        seen = ahead(_seen(ahead(frames, most), see), most)
        found = ahead(_classified(seen, classify, frames=max(1, min(_FRAMES, _BATCH // size))), most)
    with closing(found):
        for frame, result in found:
            yield frame, result if smoother is None else smoothed(result, smoother)


def _chained(first: Frame, others: Stage[Frame]) -> Stage[Frame]:
    yield first
    del first
    yield from others


def _seen(frames: Stage[Frame], see: Callable[[Frame], Sighting]) -> Stage[Sighting]:
    with closing(frames):
        for frame in frames:
            yield see(frame)


def _classified(
    sightings: Stage[Sighting], classify: Callable[[Sequence[Sighting]], Sequence[Answer]], *, frames: int
) -> Stage[Answer]:
    waiting: list[Sighting] = []
    broken: Exception | None = None
    with closing(sightings):
        try:
            for sighting in sightings:
                waiting.append(sighting)
                if len(waiting) == frames or sum(len(one.faces) for one in waiting) >= _FACES:
                    yield from classify(waiting)
                    waiting = []
        except Exception as error:  # of a detector, too, that is not ours
            broken = error
    yield from classify(waiting)  # also where a film breaks off: nothing that came before is lost
    if broken is not None:
        raise broken


def smoothed(result: Result, smoother: Smoother) -> Result:
    """Return the result of a frame that comes after those before, with smoothed scores beside its own."""
    time = result.time or 0.0
    faces = tuple(
        face if face.track is None else replace(face, smoothed=smoother(face.track, time, face.scores))
        for face in result.faces
    )
    smoother.forget(time)
    return replace(result, faces=faces)
