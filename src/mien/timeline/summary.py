"""Results of films → for each person when they were seen, and how long with which expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mien.emotions import Emotion
from mien.results import Face, Result
from mien.timeline.pace import Pace

_FLEETING = (
    0.02  # of the time of whoever is seen longest in the film: less is most often a passer-by or a broken track
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a film.

    Attributes:
        source: the film.
        track: their number in it; None for all faces that have none, taken as one person.
        first: time of the first frame that shows them, in seconds.
        last: time of the last.
        seconds: how long they were seen.
        emotions: seconds of each emotion that was ever the label; they sum to `seconds`.

    """

    source: str
    track: int | None
    first: float
    last: float
    seconds: float
    emotions: Mapping[Emotion, float]

    def share(self, emotion: Emotion) -> float:
        """Return the share of the time seen that `emotion` has, 0 to 1."""
        return self.emotions.get(emotion, 0.0) / self.seconds if self.seconds else 0.0

    def ranked(self) -> list[Emotion]:
        """Return the emotions that were ever the label, the longest first."""
        return sorted(self.emotions, key=lambda emotion: -self.emotions[emotion])


@dataclass(frozen=True, slots=True)
class Film:
    """What was looked at of a film.

    Attributes:
        source: what the user named it by.
        frames: how many.
        faces: how many in all of them.
        first: time of the first frame, in seconds.
        last: time of the last frame.
        seconds: how long the frames last together.

    """

    source: str
    frames: int
    faces: int
    first: float
    last: float
    seconds: float


class Summary:
    """Sums up results as they come: memory grows with the persons, not with the length of the film.

    Of each film the last few frames are kept, until it is clear how long they count: see `Pace`. Still pictures and
    frames that could not be analysed are passed over.
    """

    def __init__(self) -> None:
        self._pace = Pace()
        self._films: dict[str, Film] = {}
        self._persons: dict[tuple[str, int | None], _Sums] = {}

    def add(self, result: Result) -> None:
        """Take the next result."""
        if result.time is None or result.error is not None:
            return
        film = self._films.get(result.source) or Film(result.source, 0, 0, result.time, result.time, 0.0)
        self._films[result.source] = replace(
            film,
            frames=film.frames + 1,
            faces=film.faces + len(result.faces),
            first=min(film.first, result.time),
            last=max(film.last, result.time),
        )
        for track in by_track(result):
            sums = self._persons.setdefault((result.source, track), _Sums(result.time, result.time))
            sums.first, sums.last = min(sums.first, result.time), max(sums.last, result.time)
        for timed, seconds in self._pace.add(result):
            _count(timed, seconds, self._films, self._persons)

    def films(self) -> list[Film]:
        """Return the films so far, in the order in which they came."""
        return list(self._with_rest()[0].values())

    def persons(self) -> list[Person]:
        """Return the persons so far: by film, in the order in which they came, then by number; without one, last."""
        films, persons = self._with_rest()
        place = {source: i for i, source in enumerate(films)}
        ordered = sorted(persons, key=lambda key: (place[key[0]], key[1] is None, key[1] or 0))
        return [persons[key].person(*key) for key in ordered]

    def _with_rest(self) -> tuple[dict[str, Film], dict[tuple[str, int | None], _Sums]]:
        """Return the sums as if the films ended here."""
        films = dict(self._films)
        persons = {key: replace(sums, emotions=dict(sums.emotions)) for key, sums in self._persons.items()}
        for result, seconds in self._pace.rest():
            _count(result, seconds, films, persons)
        return films, persons


def by_track(result: Result) -> dict[int | None, list[Face]]:
    """Return the faces of a frame by person."""
    persons: dict[int | None, list[Face]] = {}
    for face in result.faces:
        persons.setdefault(face.track, []).append(face)
    return persons


def leading(
    persons: Iterable[Person], *, most: int, min_seconds: float | None = None
) -> tuple[list[Person], list[Person]]:
    """Part persons into those to be shown one by one and the rest, each in the order given.

    Args:
        persons: anybody.
        most: how many are shown at most; those seen longest are.
        min_seconds: how long one must have been seen to be shown. Default: a fiftieth of whoever is seen longest in
            the same film.

    """
    persons = list(persons)
    longest: dict[str, float] = {}
    for person in persons:
        longest[person.source] = max(person.seconds, longest.get(person.source, 0.0))
    least = {film: _FLEETING * seconds if min_seconds is None else min_seconds for film, seconds in longest.items()}
    ranked = sorted(range(len(persons)), key=lambda i: -persons[i].seconds)
    kept = {i for i in ranked[:most] if persons[i].seconds >= least[persons[i].source]}
    return [persons[i] for i in sorted(kept)], [person for i, person in enumerate(persons) if i not in kept]


def told_of_rest(rest: Sequence[Person], *, shown: bool = True) -> str:
    """Return the line about those who are not shown one by one; empty where there are none."""
    if not rest:
        return ""
    time = f"seen for {duration(max(person.seconds for person in rest))} or less"
    return f"and {len(rest)} more, {time}" if shown else f"{len(rest)} persons, all {time}"


def told_of_nobody(film: Film) -> str:
    """Return the line about a film in which nobody is."""
    frames = f"{film.frames:,} frame{'s' * (film.frames != 1)}"
    return f"nobody was seen in {film.source} ({frames}, {duration(film.seconds)})"


def clock(seconds: float, decimals: int = 0) -> str:
    """Return a time as m:ss, or h:mm:ss from an hour on, with so many decimals of the second."""
    ticks = round(abs(seconds) * 10**decimals)  # rounded once, so that no 59.96 becomes 0:60.0
    whole, part = divmod(ticks, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return ("-" if seconds < 0 and ticks else "") + text + (f".{part:0{decimals}}" if decimals else "")


def duration(seconds: float) -> str:
    """Return a length of time to be read: 3.9 s, 12 min 5 s, 2 h 3 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {second} s" if second else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


@dataclass(slots=True)
class _Sums:
    """What is kept of a person."""

    first: float
    last: float
    emotions: dict[Emotion, float] = field(default_factory=dict)

    def person(self, source: str, track: int | None) -> Person:
        emotions = {emotion: self.emotions[emotion] for emotion in Emotion if emotion in self.emotions}
        return Person(source, track, self.first, self.last, sum(emotions.values()), emotions)


def _count(
    result: Result, seconds: float, films: dict[str, Film], persons: Mapping[tuple[str, int | None], _Sums]
) -> None:
    film = films[result.source]
    films[result.source] = replace(film, seconds=film.seconds + seconds)
    for track, faces in by_track(result).items():
        sums = persons[result.source, track].emotions
        for face in faces:  # several without a number share the time, for none is seen longer than the film lasts
            sums[face.emotion] = sums.get(face.emotion, 0.0) + seconds / len(faces)
