"""The models, and the queue before them in which the pictures of many requests become one batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from mien.analyzer import Analyzer
from mien.emotions import Emotion, emotion_set, project
from mien.errors import UsageError, one_line
from mien.results import Frame, Result
from mien.serve.problems import Problem, busy, stopping
from mien.serve.settings import Settings

_PICTURES = 8  # in a batch at most
_PIXELS = 8_000_000  # in a batch at most, or one picture


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    frame: Frame
    model: str
    labels: tuple[Emotion, ...]
    answer: Future[Result]


class Engine:
    """Analyses frames of all requests, a batch at a time, in a thread of its own.

    There is no waiting for a batch to fill: what has come while one was analysed is the next.

    Attributes:
        settings: what it was made with.
        analyzers: one a model, under the model's name; that of a file is the file's, without folder and suffix.
        pictures: how many have been analysed.
        faces: how many were on them.

    """

    def __init__(self, settings: Settings) -> None:
        """Load the models.

        Raises:
            ModelError: one cannot be used.
            UsageError: two have the same name, or there is no such detector or device.

        """
        self.settings = settings
        pixels = settings.max_pixels * 1_000_000
        self.analyzers: dict[str, Analyzer] = {}
        for model in settings.models:
            analyzer = Analyzer(model=model, detector=settings.detector, max_pixels=pixels, device=settings.device)
            name = analyzer.model.rpartition("@")[0]
            if name in self.analyzers:
                raise UsageError(f"--model {model}: there is a model {name} already; rename the file")
            self.analyzers[name] = analyzer
        self.pictures = self.faces = 0
        self._waiting: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="mien-engine", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many pictures wait."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether pictures are taken."""
        return self._thread.is_alive() and not self._stopping

    def analyzer(self, model: str | None) -> Analyzer:
        """Return the one of a model; None is the first.

        Raises:
            Problem: no such model is served.

        """
        return self.analyzers[self._named(model)]

    def _named(self, model: str | None) -> str:
        if model is None:
            return next(iter(self.analyzers))
        if model not in self.analyzers:
            raise Problem(404, f"no model {one_line(model[:80])} is served; there are {', '.join(self.analyzers)}")
        return model

    def labels(self, model: str | None, emotions: str | None) -> tuple[Emotion, ...]:
        """Return the emotions of a set, or all of the model's.

        Raises:
            Problem: no such model is served, or it lacks emotions of the set.

        """
        own = self.analyzer(model).emotions
        try:
            return own if emotions is None else emotion_set(emotions, own)
        except UsageError as error:
            raise Problem(422, str(error)) from error

    def submit(
        self,
        frames: Sequence[Frame],
        *,
        model: str | None = None,
        emotions: str | None = None,
        promised: bool = False,
    ) -> list[Future[Result]]:
        """Queue all of `frames`, or none; each answer is what the picture alone would get.

        A future that is cancelled while it waits costs nothing more.

        Args:
            frames: the pictures.
            model: None is the first.
            emotions: the set; None is all that the model knows.
            promised: they are taken even when the queue is full: who asks has counted them before.

        Raises:
            Problem: the queue is full (429), the server is stopping (503), or the model or set is not there.

        """
        labels = self.labels(model, emotions)
        name = self._named(model)
        waiting = [_Waiting(frame, name, labels, Future()) for frame in frames]
        with self._change:
            if self._stopping:
                raise stopping()
            if not promised and self._waiting and len(self._waiting) + len(waiting) > self.settings.queue:
                raise busy()
            self._waiting.extend(waiting)
            self._change.notify_all()
        for entry in waiting:
            entry.answer.add_done_callback(self._forget)  # without the entry: a cycle would keep its pixels
        return [entry.answer for entry in waiting]

    def _forget(self, answer: Future[Result]) -> None:
        """Let go of a picture for which nobody waits any more: its pixels are large."""
        if answer.cancelled():
            with self._change:
                self._waiting = deque(entry for entry in self._waiting if entry.answer is not answer)

    def stop(self) -> None:
        """Take nothing more, and return when what waits has been answered."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._stopping:
                    self._change.wait()
                if not self._waiting:
                    return
                batch = self._next_batch()
            if batch:
                self._answer(batch)
            batch.clear()  # while it waits for the next: the pixels of this one are large

    def _answer(self, batch: list[_Waiting]) -> None:
        analyzer = self.analyzers[batch[0].model]
        try:
            results = analyzer.analyze_frames([entry.frame for entry in batch])
        except Exception as error:  # whoever waits must hear of it
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:  # one client's picture is not another's error
                for entry in batch:
                    self._answer([entry])
            return
        self.pictures += len(results)
        self.faces += sum(len(result.faces) for result in results)
        for entry, result in zip(batch, results, strict=True):
            entry.answer.set_result(_over(result, entry.labels, analyzer.emotions))

    def _next_batch(self) -> list[_Waiting]:
        """Take pictures for one model from the queue's head."""
        batch: list[_Waiting] = []
        pixels = 0
        while self._waiting and len(batch) < _PICTURES:
            entry = self._waiting[0]
            pixels += entry.frame.width * entry.frame.height
            if batch and (pixels > _PIXELS or entry.model != batch[0].model):
                break
            self._waiting.popleft()
            if entry.answer.set_running_or_notify_cancel():
                batch.append(entry)
        return batch


def _over(result: Result, labels: tuple[Emotion, ...], own: tuple[Emotion, ...]) -> Result:
    """Return `result`, whose scores are over `own`, over `labels`."""
    if labels == own:
        return result
    faces = tuple(replace(face, scores=project(face.scores, labels)) for face in result.faces)
    return replace(result, faces=faces)
