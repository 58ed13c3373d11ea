"""What decides the answers: the arguments of the Analyzer and of going through films."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.analyzer import Analyzer, check_pace
from mien.results import SCHEMA
from mien.sources import MAX_PIXELS, SEGMENT, WHOLE, Selection


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
    selection: Selection = WHOLE
    smooth: float | None
    detect_every: float

    def open(self, *, model: str | Path | None = None, threads: int | None = None) -> Analyzer:
        """Load the models; `model` is where the classifier lies, if not where these settings say.

        Raises:
            ModelError: the model cannot be used.
            UsageError: a setting makes no sense.

        """
        check_pace(self.smooth, self.detect_every)
        return Analyzer(
            model=self.model if model is None else model,
            detector=self.detector,
            emotions=self.emotions,
            rater=self.rater,
            flip=self.flip,
            min_face=self.min_face,
            max_pixels=self.max_pixels,
            threads=threads,
        )

    def described(self, analyzer: Analyzer) -> dict[str, Any]:
        """Return what has to be equal for results to stand in one table, in plain values, by the options' names."""
        values = asdict(self)
        selection = values.pop("selection")
        exact = {"model": analyzer.model, "emotions": [str(emotion) for emotion in analyzer.emotions]}
        return {**values, **selection, **exact, "schema": SCHEMA, "segment": SEGMENT}
