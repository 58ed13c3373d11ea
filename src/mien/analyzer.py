"""The Analyzer: whatever a user can name → Results, one for each picture and each frame of a film."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from copy import copy
from pathlib import Path

from mien.detectors import Detector, open_detector
from mien.emotions import Emotion
from mien.errors import SourceError, UsageError
from mien.expressions import ExpressionReader
from mien.film import Answer, Sighting, answers, smoothed
from mien.results import Frame, Result
from mien.segments import Event, Part
from mien.sources import (
    MAX_PIXELS,
    WHOLE,
    FileSource,
    Media,
    MediaSource,
    Segment,
    Selection,
    is_stream,
    open_media,
    open_segment,
    read_picture,
    walk_pictures,
)
from mien.sources.naming import source_error, without_password
from mien.tracking import LONGEST, Edge, SegmentWatcher, Smoother, Watcher

SMOOTH = 0.4
"""Half-life in seconds of the smoothing of scores in films."""

DETECT_EVERY = 0.4
"""Seconds of film between two searches of the whole frame for faces."""


class Analyzer:
    """Reads the expressions in pictures. Load it once and use it for all of them."""

    def __init__(
        self,
        *,
        model: str | Path = "embedded",
        detector: str | Detector = "mtcnn",
        emotions: str | None = None,
        rater: str | None = None,
        flip: bool = False,
        min_face: float | None = None,
        max_pixels: int = MAX_PIXELS,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Load the models.

        Args:
            model: a name in the registry, or the path of an .onnx file made by `mien export`.
            detector: `mtcnn`, `yunet` (once `mien models pull yunet` has fetched it), `none` (each picture is a face
                already), or anything that follows the `Detector` protocol.
            emotions: `three`, `five`, `seven` or `eight`: the scores are renormalised over the set, so
                one without neutral forces a choice. None: all emotions of the model's output.
            rater: the output of the model to ask; None is its first. The embedded model has `votes`
                (what raters would name) and `fer2013` (that set's own labels).
            flip: average each answer with that to the mirrored face: a little more accurate, half as fast.
            min_face: side in pixels of the smallest face to look for.
            max_pixels: refuse pictures of more than so many pixels.
            threads: how many to compute and to decode films with; None is one for each core.
            device: what to compute on: `cpu`, `cuda`, `coreml`, `directml`, `openvino`, or `auto` for the first of
                them that works here. A detector of your own computes where it likes.

        Raises:
            ModelError: the model cannot be used.
            UsageError: an argument makes no sense.

        """
        self._expressions = ExpressionReader(
            model, emotions=emotions, rater=rater, flip=flip, threads=threads, device=device
        )
        if isinstance(detector, str):
            detector = open_detector(detector, min_face=min_face, threads=threads, device=device)
        elif min_face is not None:
            raise UsageError("min_face is for a detector by name: give it to your own detector instead")
        self._detector = detector
        self._max_pixels = max_pixels
        self._threads = threads

    @property
    def model(self) -> str:
        """The model's identity, as it stands in every result."""
        return self._expressions.model

    @property
    def emotions(self) -> tuple[Emotion, ...]:
        """The emotions of the scores, in their order."""
        return self._expressions.emotions

    def restricted(self, emotions: str | None, *, max_pixels: int | None = None) -> Analyzer:
        """Return an analyzer with the same loaded models, and its scores over another set.

        Args:
            emotions: `three`, `five`, `seven` or `eight`; None: all emotions of the model's output.
            max_pixels: refuse pictures and frames of more than so many pixels; None: as this one does.

        Raises:
            UsageError: there is no such set, or the model lacks emotions of it.

        """
        other = copy(self)
        other._expressions = self._expressions.restricted(emotions)
        if max_pixels is not None:
            other._max_pixels = max_pixels
        return other

    def reader(
        self, *, smooth: float | None = SMOOTH, detect_every: float = DETECT_EVERY
    ) -> Callable[[Frame], Result]:
        """Return what reads the frames of one film as somebody else brings them, one by one; for files, see `stream`.

        Each call takes the next frame, with its time, and answers at once: who is who, and smoothed scores.

        Args:
            smooth: as in `stream`.
            detect_every: as in `stream`.

        Raises:
            UsageError: an argument makes no sense.

        """
        check_pace(smooth, detect_every)
        watcher = Watcher(self._detector, interval=detect_every)
        smoother = None if smooth is None else Smoother(smooth)

        def read(frame: Frame) -> Result:
            result = self._expressions.read([self._expressions.cut_out(frame, watcher(frame))])[0][1]
            return result if smoother is None else smoothed(result, smoother)

        return read

    def analyze(self, source: MediaSource, *, name: str | None = None) -> Result:
        """Return the faces of one picture; nobody is an empty tuple. Of an animated one, those of its first frame.

        `stream` gives all frames of an animated picture.

        Args:
            source: a path, the bytes of a file, a Pillow image, an array (RGB, uint8) or a Frame.
            name: what the result calls it; None is its path.

        Raises:
            SourceError: it cannot be read; the message names it.

        """
        return self.analyze_frames([read_picture(source, name=name, max_pixels=self._max_pixels)])[0]

    def analyze_frames(self, frames: Sequence[Frame]) -> list[Result]:
        """Return a result for each of `frames`; the faces of all are classified in one batch.

        Each frame stands for itself, also where they are of a film; `stream` tells who is who.
        """
        found = zip(frames, self._detector(frames), strict=True)
        sightings = [self._expressions.cut_out(frame, [(face, None) for face in faces]) for frame, faces in found]
        return [result for _, result in self._expressions.read(sightings)]

    def stream(
        self,
        source: str | Path,
        *,
        recursive: bool = False,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
        every: int = 1,
        smooth: float | None = SMOOTH,
        detect_every: float = DETECT_EVERY,
    ) -> Generator[Result, None, None]:
        """Yield a result for each picture, and each frame of each film, that `source` names; memory stays flat.

        A picture or film that cannot be read becomes a result whose `error` says why, and the stream goes on; so
        does a film that breaks off, after the results of its frames so far. Close the stream to leave off early.

        Args:
            source: a picture, a film, a folder of them, a camera (`camera:0`) or the URL of a stream. Frames of
                cameras and live streams that come while others are analysed are passed over.
            recursive: look in the folder's folders too.
            start: seconds of a film before which nothing is looked at.
            end: seconds of a film from which on nothing is looked at.
            fps: look at no more than so many frames of a film a second.
            every: look at each n-th frame of a film.
            smooth: half-life in seconds of the smoothing of each person's scores in films; None leaves it off.
            detect_every: seconds of film after which the whole of a frame is searched for faces, 0 to 0.5, or
                sooner when something changes; between, known faces are followed.

        Raises:
            SourceError: `source` is not there, or is a folder without pictures or films.
            UsageError: an argument makes no sense.

        """
        selection = Selection(start=start, end=end, fps=fps, every=every)
        if is_stream(str(source)):
            named: Iterable[tuple[str, MediaSource]] = [(without_password(str(source)), str(source))]
        else:
            if not os.path.lexists(source):  # unlike those of Path, these checks answer for any name at all
                raise source_error(str(source), "there is no such file or folder")
            path = Path(source)
            paths = walk_pictures(path, recursive=recursive) if os.path.isdir(path) else [path]
            named = ((str(path), path) for path in paths)
        stream = self.stream_media(named, selection=selection, smooth=smooth, detect_every=detect_every)
        with closing(stream):
            for _, result in stream:
                yield result

    def stream_media(
        self,
        sources: Iterable[tuple[str, MediaSource]],
        *,
        selection: Selection = WHOLE,
        smooth: float | None = SMOOTH,
        detect_every: float = DETECT_EVERY,
        opened: Callable[[Media], None] = lambda media: None,
    ) -> Generator[tuple[Frame | None, Result], None, None]:
        """Yield (frame, result) for each frame of each (name, source), as `stream` does.

        The frame is None where it could not be read. Sources are opened one after the other, when it is their turn;
        `opened` is told of each.

        Raises:
            UsageError: an argument makes no sense.

        """
        check_pace(smooth, detect_every)
        for name, source in sources:
            read = 0
            try:
                stack = ExitStack()
                media = stack.enter_context(
                    open_media(
                        source,
                        name=name,
                        max_pixels=self._max_pixels,
                        selection=selection,
                        threads=self._threads,
                    )
                )
                opened(media)
                with closing(self._read(_owning(media.frames, stack), media.live, smooth, detect_every)) as found:
                    for frame, result in found:
                        yield frame, result
                        read = result.frame + 1
            except SourceError as error:
                yield None, Result(name, read, None, None, None, self.model, error=str(error))

    def analyze_segment(
        self,
        source: FileSource,
        segment: Segment,
        *,
        name: str,
        selection: Selection = WHOLE,
        detect_every: float = DETECT_EVERY,
    ) -> Part:
        """Return what is in one segment of a film; `mien.segments.join` makes of all of them what `stream` gives.

        Args:
            source: the film.
            segment: one of its `mien.sources.find_segments`, found with the same `selection`.
            name: what results call the film.
            selection: which of its frames to look at.
            detect_every: as in `stream`.

        Raises:
            UsageError: an argument makes no sense.

        """
        check_pace(None, detect_every)
        results: list[Result] = []
        events: list[Event] = []
        watcher = SegmentWatcher(self._detector, interval=detect_every, before=segment.last)
        edges: list[Edge] = []
        seen = 0

        def see(frame: Frame) -> Sighting:
            nonlocal seen
            look = watcher(frame)
            if look.begun or look.confirmed:
                events.append(Event(seen, look.begun, look.confirmed))
            if not edges:
                edges.append(watcher.edge)
            seen += 1
            return self._expressions.cut_out(frame, look.faces)

        lost, exact, whole = 0, False, False
        try:
            with open_segment(
                source,
                segment,
                name=name,
                max_pixels=self._max_pixels,
                selection=selection,
                threads=self._threads,
            ) as (film, frames):
                try:
                    if (first := next(frames, None)) is not None:
                        found = answers(
                            first, frames, see=see, classify=self._expressions.read, smoother=None, live=False
                        )
                        with closing(found):
                            results += (result for _, result in found)
                finally:
                    lost, exact, whole = film.lost, film.exact, film.whole
        except SourceError as error:
            results.append(Result(name, 0, None, None, None, self.model, error=str(error)))
        last = watcher.edge if edges else None
        return Part(results, events, edges[0] if edges else None, last, watcher.people, lost, exact, whole)

    def _read(
        self, frames: Generator[Frame, None, None], live: bool, smooth: float | None, detect_every: float
    ) -> Generator[Answer, None, None]:
        """Yield the answer to a still picture, or those to the frames of a film."""
        first = next(frames, None)
        if first is None:
            return
        if first.time is None:
            frames.close()
            yield first, self.analyze_frames([first])[0]
            return
        watcher = Watcher(self._detector, interval=detect_every)
        yield from answers(
            first,
            frames,
            see=lambda frame: self._expressions.cut_out(frame, watcher(frame)),
            classify=self._expressions.read,
            smoother=None if smooth is None else Smoother(smooth),
            live=live,
        )


def check_pace(smooth: float | None, detect_every: float) -> None:
    """Check what `Analyzer.stream` is told of films.

    Raises:
        UsageError: it makes no sense.

    """
    if smooth is not None and not 0 < smooth < math.inf:
        raise UsageError("--smooth (smooth=) is a half-life in seconds, above 0; to leave it off: --no-smooth (None)")
    if not 0 <= detect_every <= LONGEST:
        raise UsageError(f"--detect-every (detect_every=) is a number of seconds from 0 to {LONGEST}")


def _owning(frames: Generator[Frame, None, None], stack: ExitStack) -> Generator[Frame, None, None]:
    """Yield `frames`, and close what `stack` holds in the thread that reads them: no other knows when it may."""
    with stack:
        yield from frames
