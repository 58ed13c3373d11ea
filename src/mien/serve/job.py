"""A film on its way, and what came of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]


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
        expires: when all of that is deleted, on the clock of `time.monotonic`; None until it has ended.

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
        self.expires: float | None = None
        self._ended = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self.state == "cancelled"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, and nothing is left of it if it was cancelled; return whether that is so."""
        return self._ended.wait(timeout)

    def end(self) -> None:
        """Let those go on who wait for it."""
        self._ended.set()

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
        left = None if self.expires is None else max(0, round(self.expires - time.monotonic()))
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
