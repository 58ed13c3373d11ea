"""One film's way through the service, from the button to its results; it can be called off from the start."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from mien.serve.jobs import FilmJobs, Job
from mien.serve.problems import Problem

_PART = 1 << 20
_OFTEN = 0.1  # seconds between looks at whether it was called off
_ENDS = 5.0  # seconds for a run to end once it is called off
_REMEMBERED = 256  # films that were called off before they came


class FilmRuns:
    """All films that visitors have asked for, each by a token that only its visitor's browser knows.

    A film may be called off before it is here: browsers send it first, and ask for it then.
    """

    def __init__(self, jobs: FilmJobs) -> None:
        """Begin with none."""
        self._jobs = jobs
        self._runs: dict[str, FilmRun] = {}
        self._early: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()

    def begin(self, token: str) -> FilmRun:
        """Return a new run; it is called off if its token already was, or stands for one that is under way."""
        run = FilmRun(self._jobs)
        with self._guard:
            off = token in self._early or token in self._runs
            if not off:
                self._runs[token] = run
        if off:
            run.call_off()
        return run

    def end(self, token: str, run: FilmRun) -> None:
        """Let go of a run."""
        with self._guard:
            if self._runs.get(token) is run:
                del self._runs[token]
        run.call_off()
        run.end()

    def call_off(self, token: str) -> FilmRun | None:
        """Call a run off, whether it has begun or not, and return it if it has."""
        with self._guard:
            run = self._runs.get(token)
            if run is None:
                self._early[token] = None
            if len(self._early) > _REMEMBERED:
                self._early.popitem(last=False)
        if run is not None:
            run.call_off()
        return run


class FilmRun:
    """A film that somebody has asked for: at first a file to be copied and looked at, then a job."""

    def __init__(self, jobs: FilmJobs) -> None:
        """Begin with no job."""
        self._jobs = jobs
        self._job: Job | None = None
        self._off = threading.Event()
        self._ended = asyncio.Event()

    @property
    def is_off(self) -> bool:
        """Whether it was called off."""
        return self._off.is_set()

    def call_off(self) -> None:
        """Leave off, and let go of the job and all that came of it; not to be undone."""
        self._off.set()
        self._let_go()

    def end(self) -> None:
        """Let those go on who wait for its end; on the event loop's thread only."""
        self._ended.set()

    async def ended(self) -> None:
        """Return once its visitor is told no more of it, or that takes too long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _ENDS)

    async def start(self, path: Path, *, name: str, model: str | None, emotions: str | None) -> Job | None:
        """Make it a job; None if it was called off before.

        Raises:
            Problem: the service does not take it, as `FilmJobs.start` says.

        """
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, path, name, model, emotions))
        starting.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # nobody may be waiting any more
        while not starting.done() and not self.is_off:
            await asyncio.wait({starting}, timeout=_OFTEN)
        return None if self.is_off else await starting

    def _start(self, path: Path, name: str, model: str | None, emotions: str | None) -> Job | None:
        """Do it, and see to it that nothing is left behind wherever it was called off meanwhile."""
        place = self._jobs.reserve()
        try:
            own = self._copy(path)
            if own is None:
                return None
            self._job = self._jobs.start(own, name=name, model=model, emotions=emotions, place=place)
        finally:
            self._jobs.release(place)
        if self.is_off:
            self._let_go()
        return self._job

    def _copy(self, path: Path) -> Path | None:
        """Return a file for the job to cut short and delete, so that the film can be analysed again.

        It lies with the jobs' own files: those of the page are deleted after a while, and the film may have to wait.

        Raises:
            Problem: there is no room for it (507).

        """
        own: Path | None = None
        whole = False
        try:
            own = self._jobs.storage.file(path.suffix)
            with path.open("rb") as source, own.open("wb") as target:
                while not self.is_off and (part := source.read(_PART)):
                    self._jobs.disk.add(len(part))
                    target.write(part)
            whole = not self.is_off
        except OSError as error:
            raise Problem(507, "the film could not be copied; the server may be out of space") from error
        finally:
            if own is not None and not whole:
                own.unlink(missing_ok=True)
        return own if whole else None

    def _let_go(self) -> None:
        if self._job is None:
            return
        try:
            self._jobs.cancel(self._job.id)
        except Problem:  # it has gone already
            return
