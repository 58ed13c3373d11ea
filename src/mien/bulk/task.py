"""What a run does with each of its inputs, as values that another process can be sent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.results import Frame, Result
from mien.sources import MAX_PIXELS, WHOLE, Media, Selection

if TYPE_CHECKING:
    from mien.analyzer import Analyzer


@dataclass(frozen=True, slots=True)
class Input:
    """Something to analyse.

    Attributes:
        name: what results call it.
        source: its path, its content where it came on standard input, or the name of a camera or stream.
        relative: its path below the folder that the user named, its file name, or a name for what is made of it.

    """

    name: str
    source: Path | bytes | str
    relative: Path


@dataclass(frozen=True, slots=True)
class Step:
    """A run's next step: an input's turn has come, or one of its frames has been dealt with.

    Attributes:
        one: the input.
        result: None where it is the input's turn, and nothing of it is known yet.
        frame: None where it could not be read, or was read in another process.

    """

    one: Input
    result: Result | None = None
    frame: Frame | None = None


Steps = Generator[Step, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of `Analyzer` and `Analyzer.stream_media`."""

    model: str = "embedded"
    detector: str = "mtcnn"
    emotions: str | None = None
    rater: str | None = None
    flip: bool = False
    min_face: float | None = None
    max_pixels: int = MAX_PIXELS
    device: str = "cpu"
    selection: Selection = WHOLE
    smooth: float | None
    detect_every: float

    def open(self, *, model: str | Path | None = None, threads: int | None = None) -> Analyzer:
        """Load the models; `model` is where the classifier lies, if not where these settings say.

        Raises:
            ModelError: the model cannot be used.
            UsageError: a setting makes no sense.

        """
        from mien.analyzer import Analyzer, check_pace

        check_pace(self.smooth, self.detect_every)
        return Analyzer(
            model=self.model if model is None else model,
            detector=self.detector,
            emotions=self.emotions,
            rater=self.rater,
            flip=self.flip,
            min_face=self.min_face,
            max_pixels=self.max_pixels,
            device=self.device,
            threads=threads,
        )

    def analyse(
        self, analyzer: Analyzer, inputs: Iterable[Input], *, opened: Callable[[Media], None] = lambda media: None
    ) -> Steps:
        """Yield the steps of a run in this process; `opened` is told of each source that could be opened."""
        for one in inputs:
            yield Step(one)
            stream = analyzer.stream_media(
                [(one.name, one.source)],
                selection=self.selection,
                smooth=self.smooth,
                detect_every=self.detect_every,
                opened=opened,
            )
            with closing(stream):
                for frame, result in stream:
                    yield Step(one, result, frame)
