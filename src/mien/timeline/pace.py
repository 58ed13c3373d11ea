"""How long each frame of a film counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median_low

from mien.results import Result

Timed = tuple[Result, float]
"""A frame and the seconds that it counts."""

_AROUND = 4  # spacings before and after a doubtful one that tell what is usual there
_STALL = 2.0  # seconds from which a spacing is doubtful
_TIMES = 3.0  # and so many times the usual


class Pace:
    """Tells how long frames count, taking them one by one; those of several films may follow one another or mix.

    A frame counts until the next one of its film, the last for as long as the one before it, a single one not at
    all. But what happened while a stream stalled nobody saw: a spacing longer than 2 s and than three times the
    usual one counts as the usual one, which is the median of the four before it, itself, and the four after it.
    So frames sampled every 5 s count 5 s each, and a pause of 5 s at 25 frames a second counts 0.04 s. The same
    goes where time runs backwards, because a film begins anew under the same name.
    """

    def __init__(self) -> None:
        self._films: dict[str, _Film] = {}

    def add(self, result: Result) -> list[Timed]:
        """Take a frame of a film; return those of its frames, in order, that it is now clear how long they count."""
        film = self._films.setdefault(result.source, _Film())
        film.add(result)
        if len(film.waiting) <= _AROUND + 1:
            return []
        seconds = film.seconds(0)
        return [(film.waiting.popleft(), seconds)]

    def rest(self) -> Iterator[Timed]:
        """Yield the frames that still wait, taken as the last of their films; they go on waiting."""
        for film in self._films.values():
            for i, result in enumerate(film.waiting):
                yield result, film.seconds(i)


@dataclass(slots=True)
class _Film:
    """The frames that wait, and the spacings between all around them."""

    waiting: deque[Result] = field(default_factory=deque)
    spacings: deque[float] = field(default_factory=lambda: deque(maxlen=2 * _AROUND + 1))

    def add(self, result: Result) -> None:
        if self.waiting:
            self.spacings.append(_time(result) - _time(self.waiting[-1]))
        self.waiting.append(result)

    def seconds(self, i: int) -> float:
        """Return how long the waiting frame `i` counts."""
        if not self.spacings:
            return 0.0
        last = min(i, len(self.waiting) - 2)  # the last frame has the spacing of the one before it
        spacing = self.spacings[last - (len(self.waiting) - 1)]
        if 0.0 <= spacing <= _STALL:
            return spacing
        usual = median_low([known for known in self.spacings if known >= 0.0] or [0.0])
        return usual if spacing < 0.0 or spacing > _TIMES * usual else spacing


def _time(result: Result) -> float:
    if result.time is None:
        raise ValueError("a still picture has no pace")
    return result.time
