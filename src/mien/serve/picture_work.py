"""The road of a picture from how it came to its result: the same for the REST service and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from mien.errors import SourceError
from mien.results import Frame, Result
from mien.serve.admission import Admission, Places
from mien.serve.disk import Disk
from mien.serve.engine import Engine
from mien.serve.problems import Problem, reason
from mien.serve.settings import MEGABYTE, Settings
from mien.serve.stop import Stop

_T = TypeVar("_T")


class PictureWork:
    """Reads and analyses pictures as there is room.

    Attributes:
        admission: what may wait and be decoded.
        disk: what may lie on disk.

    """

    def __init__(self, engine: Engine, settings: Settings, admission: Admission, disk: Disk, stop: Stop) -> None:
        """Use `engine`, within the limits of the others."""
        self.admission, self.disk = admission, disk
        self._engine, self._settings, self._stop = engine, settings, stop

    @asynccontextmanager
    async def analysed(
        self, read: Callable[[], bytes | Path], *, name: str, model: str | None, emotions: str | None, places: Places
    ) -> AsyncIterator[tuple[Frame, Result]]:
        """Analyse a picture whose place in the queue is among `places`; its pixels take up room meanwhile.

        Args:
            read: returns the file or its content; called in a thread.
            name: what to call it in results and errors.
            model: None is the first.
            emotions: the set; None is all that the model knows.
            places: where one is kept for it.

        Raises:
            SourceError: it cannot be read.
            Problem: the server is stopping, or lacks the model or the set.

        """
        try:
            async with self.admission.decoded(read, name=name) as frame:
                (answer,) = self._engine.submit([frame], model=model, emotions=emotions, promised=True)
                places.leave()
                yield frame, await asyncio.wrap_future(answer)
        except SourceError as error:
            raise SourceError(reason(error, "--max-pixels")) from error

    @asynccontextmanager
    async def alone(
        self, path: Path, *, name: str, model: str | None, emotions: str | None
    ) -> AsyncIterator[tuple[Frame, Result]]:
        """Analyse a picture that no request waits for; the server does not end before the context does.

        There is room on disk for what is made of it, and the context lasts no longer than a request may.

        Raises:
            SourceError: it cannot be read.
            Problem: the file is too large, or there is no room or time for it; the server is stopping, or lacks the
                model or the set.

        """
        settings = self._settings
        if path.stat().st_size > settings.max_body * MEGABYTE:
            raise Problem(413, f"the picture is larger than the {settings.max_body} MB that are allowed")
        self._engine.labels(model, emotions)
        read = partial(Path, path)
        try:
            with self._stop.work(), self.admission.places(1) as places:
                async with (
                    asyncio.timeout(settings.max_seconds),
                    self.analysed(read, name=name, model=model, emotions=emotions, places=places) as (frame, result),
                ):
                    self.disk.check(frame.pixels.nbytes // 2)
                    yield frame, result
        except TimeoutError as error:
            raise Problem(
                503, f"it took longer than {settings.max_seconds} seconds; try a smaller picture"
            ) from error

    async def drawn(self, work: Callable[[Frame, Result], _T], frame: Frame, result: Result) -> _T:
        """Make something of a picture in a thread, as there is room; the server's folders go after that."""
        return await self.admission.worked_on(frame.width * frame.height, work, frame, result)
