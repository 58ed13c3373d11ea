"""Films that are analysed one after the other, and what came of them, for as long as it is kept."""

from __future__ import annotations

import math
import secrets
import shutil
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from mien.errors import SourceError, one_line
from mien.serve.disk import Disk
from mien.serve.engine import Engine
from mien.serve.film_work import FilmWork
from mien.serve.job import Job
from mien.serve.problems import Problem, busy, reason, stopping
from mien.serve.settings import Settings
from mien.serve.storage import Storage
from mien.sources import open_media
from mien.timeline.summary import duration

__all__ = ["FilmJobs", "Job"]

_NONE = "there is no such film: it was deleted, its time was over, or the server was started anew; send it again"
_NAME = 200  # characters of a film's name
_BREAKS_OFF = 5.0  # seconds after which a film that has gone over its time, and gives no frame, is made to end


class FilmJobs:
    """Takes films, works on them in a thread of its own, and deletes what came of them after a while.

    Attributes:
        storage: where everything is.
        disk: what there is room for.

    """

    def __init__(self, engine: Engine, settings: Settings, storage: Storage, disk: Disk) -> None:
        """Begin to wait for films."""
        self.storage, self.disk = storage, disk
        self._engine, self._settings = engine, settings
        self._change = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, FilmWork] = {}
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
            Problem: there are too many already (429), or there is no room on disk (507); by its header it is no film
                or too long, or the model lacks emotions of the set (422); the model is not served (404); the server
                is stopping (503).

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
                    self._work[job.id] = FilmWork(job, path, folder, annotate=annotated)
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
            raise Problem(404, _NONE)
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
        ends = [job.expires for job in self._jobs.values() if job.expires is not None]
        return max(1, round(min(ends) - time.monotonic())) if ends else 10

    def _forget(self, job: Job) -> None:
        """Delete a job; one that is running is left to its worker, who sees that it is cancelled."""
        del self._jobs[job.id]
        running = job.state == "running"
        job.state = "cancelled"
        if running:
            self._work[job.id].break_off()
            return
        if job.id in self._waiting:
            self._waiting.remove(job.id)
        self._delete(job)

    def _delete(self, job: Job) -> None:
        work = self._work.pop(job.id)
        job.results = job.csv = job.annotated = job.timeline = job.summary = None
        _remove(work.film)
        shutil.rmtree(work.folder, ignore_errors=True)
        job.end()

    def _delete_old(self) -> None:
        """Delete what has been kept for long enough, and see to it that no film is worked on for ever."""
        with self._change:
            while not self._closing:
                now = time.monotonic()
                due = [(job.expires, job) for job in self._jobs.values() if job.expires is not None]
                late = [(work.deadline + _BREAKS_OFF, work) for work in self._work.values() if not work.broken_off]
                for end, job in due:
                    if end <= now:
                        self._delete(self._jobs.pop(job.id))
                for end, work in late:
                    if end <= now:
                        work.break_off()
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
            error = work.run(self._engine, self._settings, self.disk)
            _remove(work.film)
            with self._change:
                if job.cancelled:
                    self._delete(job)
                    continue
                work.publish()
                job.error, job.progress = error, 1.0 if error is None else job.progress
                job.expires = time.monotonic() + self._settings.keep
                job.state = "done" if error is None else "failed"
                job.end()
                self._change.notify_all()

    def _check(self, path: Path, name: str) -> None:
        """Refuse what says at its beginning that it is no film, or too long a one, and what there is no room for.

        Raises:
            Problem: it does.

        """
        most = self._settings.max_duration
        self.disk.check(anew=True)
        try:
            with open_media(path, name=name, max_pixels=self._settings.max_film_pixels * 1_000_000) as media:
                length = media.duration
        except SourceError as error:
            raise Problem(422, reason(error, "--max-film-pixels")) from error
        if length is not None and length > most:
            raise Problem(
                422, f"{name}: it lasts {duration(length)}, and the limit here is {duration(most)}; send a part of it"
            )


def _short(name: str) -> str:
    """Return a file's name as it may stand in records and errors: without folders, and on one line."""
    return one_line(name.replace("\\", "/").rpartition("/")[2].strip())[:_NAME] or "film"


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
