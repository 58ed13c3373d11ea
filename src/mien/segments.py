"""The segments of a film, each analysed on its own, put together: the results of the whole film."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from mien.film import smoothed
from mien.results import Result
from mien.sources.video import damaged
from mien.tracking import Edge, Glimpse, Joiner, Person, Smoother


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """What a frame tells of who is who; tracks are told by their numbers in the segment.

    Attributes:
        result: number of the frame's result among those of the segment.
        begun: tracks seen for the first time, with what was seen.
        confirmed: tracks of which it has become sure that they are somebody.

    """

    result: int
    begun: Sequence[tuple[int, Glimpse]]
    confirmed: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What was found in one segment of a film, and the little that it takes to join it to its neighbours.

    Attributes:
        results: of its frames, unsmoothed, with the tracks' numbers in the segment, also of those not confirmed; the
            last has an error where it could not be read to its end.
        events: in order.
        first: the first frame looked at; None where there is none.
        last: the last one.
        people: those at its end.
        lost: how many frames could not be decoded.
        exact: decoding gave what it gives in the whole film; where not, the film has to be analysed as a whole.
        whole: it goes to the end of the film.

    """

    results: Sequence[Result]
    events: Sequence[Event]
    first: Edge | None
    last: Edge | None
    people: Sequence[Person]
    lost: int
    exact: bool
    whole: bool


def join(parts: Iterable[Part], *, smooth: float | None) -> Generator[Result, None, None]:
    """Yield the results of a film of which `parts` are all segments, in order: those of analysing it whole.

    Args:
        parts: all `exact`; they are gone through one at a time.
        smooth: half-life in seconds of the smoothing of each person's scores; None leaves it off.

    """
    joiner, smoother = Joiner(), None if smooth is None else Smoother(smooth)
    lost, read, last = 0, 0, None
    for part in parts:
        if part.first is not None:
            joiner.begin(part.first)
        events = {event.result: event for event in part.events}
        for number, result in enumerate(part.results):
            if result.error is not None:
                yield replace(result, frame=read)
                return
            if event := events.get(number):
                tracks = [face.track for face in result.faces if face.track is not None]
                joiner.add(tracks, event.begun, event.confirmed)
            numbered = _numbered(result, joiner)
            yield numbered if smoother is None else smoothed(numbered, smoother)
            read, last = result.frame + 1, result
        if part.last is not None:
            joiner.end(part.last, part.people)
        lost += part.lost
        if lost and part.whole and last is not None:
            error = str(damaged(last.source, lost))
            yield Result(last.source, read, None, None, None, last.model, error=error)


def _numbered(result: Result, joiner: Joiner) -> Result:
    numbers = ((face, None if face.track is None else joiner.number(face.track)) for face in result.faces)
    return replace(result, faces=tuple(replace(face, track=number) for face, number in numbers if number is not None))
