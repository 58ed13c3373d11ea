"""`mien.analyze`: one picture in one call, with models that are kept between calls."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from mien.analyzer import Analyzer
from mien.results import Result
from mien.sources import MediaSource


def analyze(
    source: MediaSource,
    *,
    model: str | Path = "embedded",
    detector: str = "mtcnn",
    emotions: str | None = None,
    rater: str | None = None,
    flip: bool = False,
    min_face: float | None = None,
    device: str = "cpu",
) -> Result:
    """Return the faces of one picture and what their expressions would be named.

    The models are kept between calls. The arguments are those of `Analyzer`; for many pictures, or
    other settings, make one of your own.

    Raises:
        SourceError: the picture cannot be read.
        ModelError: the model cannot be used.
        UsageError: an argument makes no sense.

    """
    path, written = str(model), None
    if os.path.isfile(path):  # a file that is written anew is loaded anew, also under the same name
        path, written = os.path.realpath(path), os.stat(path).st_mtime_ns
    return _kept_analyzer(path, written, detector, emotions, rater, flip, min_face, device).analyze(source)


@lru_cache(maxsize=4)
def _kept_analyzer(
    model: str,
    _written: int | None,
    detector: str,
    emotions: str | None,
    rater: str | None,
    flip: bool,
    min_face: float | None,
    device: str,
) -> Analyzer:
    return Analyzer(
        model=model,
        detector=detector,
        emotions=emotions,
        rater=rater,
        flip=flip,
        min_face=min_face,
        device=device,
    )
