"""The analysis of one film: from its file to everything that is made of it, within the limits."""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mien.errors import MienError, MissingExtraError, OutputError
from mien.results import Frame, Result
from mien.serve.disk import Disk
from mien.serve.engine import Engine
from mien.serve.job import Job
from mien.serve.problems import Problem, reason
from mien.serve.settings import Settings
from mien.sinks import AnnotatedFilms, Csv, JsonLines, Records, Sink
from mien.sources import Media
from mien.timeline import Person, Summary, draw_timeline, read_results
from mien.timeline.summary import duration

_log = logging.getLogger(__name__)


class FilmWork:
    """What a job has on disk, and what is done with it.

    Attributes:
        film: the file; it is cut short where the work is to break off.
        folder: where all goes that is made of it.
        deadline: when the work has to be done, on the clock of `time.monotonic`; infinite until it begins.
        broken_off: whether it has been made to end.

    """

    def __init__(self, job: Job, film: Path, folder: Path, *, annotate: bool) -> None:
        """Prepare the work; with `annotate`, the film with its faces drawn in is made too."""
        self.film, self.folder = film, folder
        self.deadline, self.broken_off = math.inf, False
        self._job, self._annotate = job, annotate
        self._people: Summary | None = None
        self._results, self._csv = folder / "results.jsonl", folder / "results.csv"
        self._annotated, self._timeline = folder / "annotated.mp4", folder / "timeline.png"

    def break_off(self) -> None:
        """Make it come to its end: in a film that is all damage, no frame comes at which to leave off."""
        self.broken_off = True
        with suppress(OSError):
            os.truncate(self.film, 0)

    def run(self, engine: Engine, settings: Settings, disk: Disk) -> str | None:
        """Analyse the film, and return what was wrong with it, in one line.

        Args:
            engine: has the models.
            settings: the limits.
            disk: where there has to be room.

        """
        job = self._job
        try:
            error, self._people = self._analyse(engine, settings, disk)
            if self._people is not None:
                self._draw()
            return error
        except Problem as problem:
            return problem.detail
        except OutputError:  # its message tells paths of this machine
            _log.exception("film job %s: its results could not be written", job.id)
            return f"{job.name}: its results could not be written; the server may be out of space"
        except MienError as error:
            return str(error)
        except Exception:
            _log.exception("film job %s failed", job.id)
            return f"{job.name}: something went wrong in the server; its log tells what"

    def publish(self) -> None:
        """Put what was made where the job's readers see it."""
        if self._people is None:
            return
        job = self._job
        job.results, job.csv = self._results, self._csv
        job.annotated, job.timeline = (path if path.exists() else None for path in (self._annotated, self._timeline))
        job.summary = [_told(person) for person in self._people.persons()]

    def _analyse(self, engine: Engine, settings: Settings, disk: Disk) -> tuple[str | None, Summary | None]:
        """Return what was wrong with the film, and who was seen in it, where something of it could be analysed."""
        job = self._job
        analyzer = engine.analyzer(job.model).restricted(
            job.emotions, max_pixels=settings.max_film_pixels * 1_000_000
        )
        people, error, length = Summary(), None, None

        def opened(media: Media) -> None:
            nonlocal length
            length = media.duration

        outputs = self._outputs(Csv(analyzer.emotions))
        complete = False
        try:
            with closing(analyzer.stream_media([(job.name, self.film)], opened=opened)) as stream:
                for frame, result in stream:
                    if job.cancelled:
                        return None, None
                    error = self._over_a_limit(result, settings, disk)
                    if error is None and result.error is not None:
                        error = reason(result.error, "--max-film-pixels")
                    if result.error is not None and job.frames:
                        outputs.write(replace(result, error=error), None)
                    if error is not None:
                        break
                    outputs.write(result, frame)
                    people.add(result)
                    job.frames += 1
                    assert result.time is not None
                    job.progress = None if not length else min(result.time / length, 1.0)
            complete = job.frames > 0
        finally:
            outputs.close(complete=complete)
        return error, people if complete else None

    def _over_a_limit(self, result: Result, settings: Settings, disk: Disk) -> str | None:
        """Return what is wrong with going on."""
        job = self._job
        limit = None
        if time.monotonic() > self.deadline:
            limit = f"it was not done in {duration(settings.max_film_seconds)}"
        elif result.error is not None:
            return None
        elif result.time is None:
            return f"{job.name}: it is a picture, not a film; pictures are analysed by /v1/analyze"
        elif job.frames >= settings.max_frames:
            limit = f"it has more than {settings.max_frames} frames"
        elif result.time > settings.max_duration:
            limit = f"it lasts longer than {duration(settings.max_duration)}"
        else:
            try:
                disk.check()
            except Problem as problem:
                return f"{job.name}: {problem.detail}"
        return None if limit is None else f"{job.name}: {limit}, which is the limit here; send a part of it"

    def _outputs(self, table: Csv) -> _Outputs:
        film = self._annotated if self._annotate else None
        sinks: list[Sink] = [Records(self._results, JsonLines()), Records(self._csv, table)]
        return _Outputs(self._job.name, sinks, original=self.film, annotated=film)

    def _draw(self) -> None:
        """Draw the chart, where that is possible."""
        with suppress(MissingExtraError):
            draw_timeline(read_results(self._results), self._timeline)


class _Outputs:
    """What is written while a film is analysed."""

    def __init__(self, name: str, sinks: list[Sink], *, original: Path, annotated: Path | None) -> None:
        self._name, self._sinks, self._original, self._annotated = name, sinks, original, annotated
        self._begun = False

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a result.

        Raises:
            OutputError: it cannot be written.

        """
        for sink in self._sinks:
            sink.write(result, frame)
        if not self._begun and self._annotated is not None:
            self._begin_film(self._annotated, result, frame)
        self._begun = True

    def _begin_film(self, path: Path, result: Result, frame: Frame | None) -> None:
        """Write the first annotated frame: without the sound where MP4 cannot hold it, or else not at all."""
        for original in (self._original, None):
            film = AnnotatedFilms({self._name: path}, {self._name: original}, overwrite=True)
            try:
                film.write(result, frame)
            except OutputError as error:
                _log.info("an annotated film %s: %s", "has no sound" if original else "cannot be made", error)
                continue
            self._sinks.append(film)
            return

    def close(self, *, complete: bool) -> None:
        """Finish what was written."""
        for sink in self._sinks:
            if complete:
                sink.close()
            else:
                with suppress(OutputError):
                    sink.close(complete=False)


def _told(person: Person) -> dict[str, Any]:
    return {
        "track": person.track,
        "first": round(person.first, 3),
        "last": round(person.last, 3),
        "seconds": round(person.seconds, 3),
        "emotions": {str(emotion): round(person.emotions[emotion], 3) for emotion in person.ranked()},
    }
