"""Films that are analysed one after the other, and what came of them, for as long as it is kept."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mien.errors import MienError, MissingExtraError, OutputError, SourceError, one_line
from mien.results import Frame, Result
from mien.serve.engine import Engine
from mien.serve.problems import Problem, busy, stopping
from mien.serve.settings import Settings
from mien.serve.storage import Storage
from mien.sinks import AnnotatedFilms, Csv, JsonLines, Records, Sink
from mien.sources import Media, open_media
from mien.timeline import Person, Summary, draw_timeline, read_results
from mien.timeline.summary import duration

State = Literal["queued", "running", "done", "failed", "cancelled"]

_NAME = 200  # characters of a film's name
_BREAKS_OFF = 5.0  # seconds after which a film that has gone over its time, and gives no frame, is made to end

_log = logging.getLogger(__name__)


class Job:
    """A film on its way, and what came of it. The attributes change under the reader's eyes.

    Attributes:
        id: nobody can guess it; who knows it may see and delete the job.
        name: of the film, as the client told it.
        model, emotions: as asked for; None is what the server answers with by itself.
        state: where it stands. A film that breaks off, or goes over a limit midway, has `failed`, and yet the
            results of its frames up to there are kept.
        progress: 0 to 1; None where the film does not state its length.
        frames: how many are analysed.
        error: why it has failed, in one line; None where it has not.
        results: the records as JSON Lines; None until it has ended, as all that follow.
        csv: the records as a table.
        annotated: the film with the faces drawn in, with its sound where MP4 can hold that; None too where it was
            not asked for or cannot be made.
        timeline: the chart; None too where matplotlib is missing.
        summary: for each person what `Person` tells.

    """

    def __init__(self, identity: str, name: str, model: str | None, emotions: str | None) -> None:
        self.id, self.name, self.model, self.emotions = identity, name, model, emotions
        self.state: State = "queued"
        self.progress: float | None = 0.0
        self.frames = 0
        self.error: str | None = None
        self.results: Path | None = None
        self.csv: Path | None = None
        self.annotated: Path | None = None
        self.timeline: Path | None = None
        self.summary: list[dict[str, Any]] | None = None
        self._ended = threading.Event()
        self._expires: float | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self.state == "cancelled"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, and nothing is left of it if it was cancelled; return whether that is so."""
        return self._ended.wait(timeout)

    def document(self) -> dict[str, Any]:
        """Return what the service says of it."""
        here = f"/v1/videos/{self.id}"
        there = {
            "results": self.results,
            "results.csv": self.csv,
            "annotated": self.annotated,
            "timeline.png": self.timeline,
            "summary": self.summary,
        }
        links = {"self": here} | {name: f"{here}/{name}" for name, what in there.items() if what is not None}
        left = None if self._expires is None else max(0, round(self._expires - time.monotonic()))
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "progress": None if self.progress is None else round(self.progress, 4),
            "frames": self.frames,
            "error": self.error,
            "expires_in": left,
            "links": links,
        }


class FilmJobs:
    """Takes films, works on them in a thread of its own, and deletes what came of them after a while.

    Attributes:
        storage: where everything is.

    """

    def __init__(self, engine: Engine, settings: Settings, storage: Storage) -> None:
        """Begin to wait for films."""
        self.storage = storage
        self._engine, self._settings = engine, settings
        self._change = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, _Work] = {}
        self._waiting: deque[str] = deque()
        self._places: set[str] = set()
        self._closing = False
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._work_on_all, "mien-films"), (self._delete_old, "mien-films-keep"))
        ]
        for thread in self._threads:
            thread.start()

    def reserve(self) -> str:
        """Keep a place for a film that is still on its way, and return what `start` takes for it.

        Raises:
            Problem: there is none left (429), or the server is stopping (503).

        """
        with self._change:
            if self._closing:
                raise stopping()
            if len(self._jobs) + len(self._places) >= self._settings.jobs:
                raise busy(
                    f"{self._settings.jobs} films are worked on or kept already; try again later, or delete one",
                    seconds=self._seconds_to_a_place(),
                )
            place = secrets.token_urlsafe(16)
            self._places.add(place)
            return place

    def release(self, place: str) -> None:
        """Give up a place, if it is still reserved."""
        with self._change:
            self._places.discard(place)

    def start(
        self,
        path: Path,
        *,
        name: str,
        model: str | None = None,
        emotions: str | None = None,
        annotated: bool = True,
        place: str | None = None,
    ) -> Job:
        """Take a film over; its file is deleted when it is done with, and also where it is refused.

        Args:
            path: the file.
            name: what to call it in records and errors, less any folders.
            model: one that is served; None is the first.
            emotions: a set; None is all that the model knows.
            annotated: whether to make the annotated film.
            place: what `reserve` gave; None to take a place now.

        Raises:
            Problem: there are too many already (429); by its header it is no film or too long, or the model lacks
                emotions of the set (422); the model is not served (404); the server is stopping (503).

        """
        name = _short(name)
        try:
            place = self.reserve() if place is None else place
            try:
                self._engine.labels(model, emotions)
                self._check(path, name)
                job = Job(place, name, model, emotions)
                with self._change:
                    if self._closing:
                        raise stopping()
                    folder = self.storage.folder()
                    self._places.discard(place)
                    self._jobs[job.id] = job
                    self._work[job.id] = _Work(path, folder, annotated)
                    self._waiting.append(job.id)
                    self._change.notify_all()
            finally:
                self.release(place)
        except BaseException:
            _remove(path)
            raise
        return job

    def get(self, identity: str) -> Job:
        """Return a job.

        Raises:
            Problem: there is none, or no more (404).

        """
        job = self._jobs.get(identity)
        if job is None:
            raise Problem(404, "there is no such film; it may have been deleted, or its time was over")
        return job

    def cancel(self, identity: str) -> Job:
        """Leave off and delete all that there is of it; `Job.wait` tells when that is done.

        Raises:
            Problem: there is none, or no more (404).

        """
        with self._change:
            job = self.get(identity)
            self._forget(job)
            self._change.notify_all()
        return job

    def close(self) -> None:
        """Cancel all, and return when nothing is left of them."""
        with self._change:
            self._closing = True
            for job in list(self._jobs.values()):
                self._forget(job)
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _seconds_to_a_place(self) -> int:
        ends = [job._expires for job in self._jobs.values() if job._expires is not None]
        return max(1, round(min(ends) - time.monotonic())) if ends else 10

    def _forget(self, job: Job) -> None:
        """Delete a job; one that is running is left to its worker, who sees that it is cancelled."""
        del self._jobs[job.id]
        running = job.state == "running"
        job.state = "cancelled"
        if running:
            _break_off(self._work[job.id].film)
            return
        if job.id in self._waiting:
            self._waiting.remove(job.id)
        self._delete(job)

    def _delete(self, job: Job) -> None:
        work = self._work.pop(job.id)
        job.results = job.csv = job.annotated = job.timeline = job.summary = None
        _remove(work.film)
        shutil.rmtree(work.folder, ignore_errors=True)
        job._ended.set()

    def _delete_old(self) -> None:
        """Delete what has been kept for long enough, and see to it that no film is worked on for ever."""
        with self._change:
            while not self._closing:
                now = time.monotonic()
                due = [(job._expires, job) for job in self._jobs.values() if job._expires is not None]
                late = [(work.deadline + _BREAKS_OFF, work) for work in self._work.values() if not work.broken_off]
                for end, job in due:
                    if end <= now:
                        self._delete(self._jobs.pop(job.id))
                for end, work in late:
                    if end <= now:
                        work.broken_off = True
                        _break_off(work.film)
                later = [end - now for end, _ in (*due, *late) if now < end < math.inf]
                self._change.wait(min(later, default=None))

    def _work_on_all(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                job = self._jobs[self._waiting.popleft()]
                job.state = "running"
                work = self._work[job.id]
                work.deadline = time.monotonic() + self._settings.max_film_seconds
                self._change.notify_all()
            error = self._work_on(job, work)
            _remove(work.film)
            with self._change:
                if job.cancelled:
                    self._delete(job)
                    continue
                job.error, job.progress = error, 1.0 if error is None else job.progress
                job._expires = time.monotonic() + self._settings.keep
                job.state = "done" if error is None else "failed"
                job._ended.set()
                self._change.notify_all()

    def _check(self, path: Path, name: str) -> None:
        """Refuse what says at its beginning that it is no film, or too long a one.

        Raises:
            Problem: it does.

        """
        most = self._settings.max_duration
        try:
            with open_media(path, name=name, max_pixels=self._settings.max_film_pixels * 1_000_000) as media:
                length = media.duration
        except SourceError as error:
            raise Problem(422, str(error)) from error
        if length is not None and length > most:
            raise Problem(
                422, f"{name}: it lasts {duration(length)}, and the limit here is {duration(most)}; send a part of it"
            )

    def _work_on(self, job: Job, work: _Work) -> str | None:
        """Analyse a film, and return what was wrong with it."""
        try:
            return self._analyse(job, work)
        except Problem as error:
            return error.detail
        except OutputError:  # its message tells paths of this machine
            _log.exception("film job %s: its results could not be written", job.id)
            return f"{job.name}: its results could not be written; the server may be out of space"
        except MienError as error:
            return str(error)
        except Exception:
            _log.exception("film job %s failed", job.id)
            return f"{job.name}: something went wrong in the server; its log tells what"

    def _analyse(self, job: Job, work: _Work) -> str | None:
        analyzer = self._engine.analyzer(job.model).restricted(
            job.emotions, max_pixels=self._settings.max_film_pixels * 1_000_000
        )
        people, error, length = Summary(), None, None

        def opened(media: Media) -> None:
            nonlocal length
            length = media.duration

        outputs = _Outputs(job.name, work, Csv(analyzer.emotions))
        complete = False
        try:
            with closing(analyzer.stream_media([(job.name, work.film)], opened=opened)) as stream:
                for frame, result in stream:
                    if job.cancelled:
                        return None
                    error = self._over_a_limit(job, result, work.deadline) or result.error
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
        if complete:
            self._publish(job, work, people)
        return error

    def _over_a_limit(self, job: Job, result: Result, deadline: float) -> str | None:
        """Return what is wrong with going on."""
        settings = self._settings
        limit = None
        if time.monotonic() > deadline:
            limit = f"it was not done in {duration(settings.max_film_seconds)}"
        elif result.error is not None:
            return None
        elif result.time is None:
            return f"{job.name}: it is a picture, not a film; pictures are analysed by /v1/analyze"
        elif job.frames >= settings.max_frames:
            limit = f"it has more than {settings.max_frames} frames"
        elif result.time > settings.max_duration:
            limit = f"it lasts longer than {duration(settings.max_duration)}"
        return None if limit is None else f"{job.name}: {limit}, which is the limit here; send a part of it"

    def _publish(self, job: Job, work: _Work, people: Summary) -> None:
        """Make what is made of all results together, and put everything where the job's readers see it."""
        timeline: Path | None = work.timeline
        try:
            draw_timeline(read_results(work.results), work.timeline)
        except MissingExtraError:
            timeline = None
        with self._change:
            if job.cancelled:
                return
            job.results, job.csv, job.timeline = work.results, work.csv, timeline
            job.annotated = work.annotated if work.annotated.exists() else None
            job.summary = [_told(person) for person in people.persons()]


class _Work:
    """What a job has on disk, and until when it may be worked on."""

    def __init__(self, film: Path, folder: Path, annotate: bool) -> None:
        self.film, self.folder, self.annotate = film, folder, annotate
        self.deadline, self.broken_off = math.inf, False
        self.results, self.csv = folder / "results.jsonl", folder / "results.csv"
        self.annotated, self.timeline = folder / "annotated.mp4", folder / "timeline.png"


class _Outputs:
    """What is written while a film is analysed."""

    def __init__(self, name: str, work: _Work, table: Csv) -> None:
        self._name, self._work = name, work
        self._sinks: list[Sink] = [Records(work.results, JsonLines()), Records(work.csv, table)]
        self._begun = False

    def write(self, result: Result, frame: Frame | None) -> None:
        """Append a result.

        Raises:
            OutputError: it cannot be written.

        """
        for sink in self._sinks:
            sink.write(result, frame)
        if not self._begun and self._work.annotate:
            self._begin_film(result, frame)
        self._begun = True

    def _begin_film(self, result: Result, frame: Frame | None) -> None:
        """Write the first annotated frame: without the sound where MP4 cannot hold it, or else not at all."""
        for original in (self._work.film, None):
            film = AnnotatedFilms({self._name: self._work.annotated}, {self._name: original}, overwrite=True)
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


def _short(name: str) -> str:
    """Return a file's name as it may stand in records and errors: without folders, and on one line."""
    return one_line(name.replace("\\", "/").rpartition("/")[2].strip())[:_NAME] or "film"


def _break_off(film: Path) -> None:
    """Make whoever reads a film come to its end: in one that is all damage, no frame comes at which to leave off."""
    with suppress(OSError):
        os.truncate(film, 0)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
