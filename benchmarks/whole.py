"""Whole analyses: from the bytes of a picture, and from the file of a film, to the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.arithmetic import multiply_adds
from benchmarks.clock import Row, timed
from benchmarks.pictures import mosaic, six_people
from benchmarks.plan import Plan
from mien.analyzer import Analyzer
from mien.evaluation.scenes import write_film
from mien.sources import open_media, read_picture


def measure_pictures(plan: Plan, rate: float) -> Iterator[Row]:
    """Yield whole analyses of JPEGs."""
    analyzer = Analyzer()
    pictures = [
        (f"{size[0]}x{size[1]}, {faces} faces", mosaic(faces, size)) for size in plan.sizes for faces in plan.faces
    ]
    if (six := six_people()) is not None:
        pictures.append(("1280x720, six people", six))
    for what, stored in pictures:
        work = partial(_record, analyzer, stored)
        measured = timed("picture", what, work, plan.runs)
        decoding = timed("decode", what, partial(read_picture, stored), plan.runs)
        yield replace(
            measured,
            faces=work(),
            arithmetic=1000.0 * multiply_adds(work) / rate,
            decoding=decoding.value,
        )


def _record(analyzer: Analyzer, stored: bytes) -> int:
    result = analyzer.analyze(stored)
    json.dumps(result.to_record())
    return len(result.faces)


def measure_films(plan: Plan, rate: float, folder: Path) -> Iterator[Row]:
    """Yield the time of a frame of films (H.264, 25 frames a second, one face), written to `folder`."""
    analyzer = Analyzer()
    for size in plan.films:
        film = folder / f"{size[1]}.mp4"
        write_film(film, 1, size, plan.film_seconds)
        frames = _decode(film)
        work = partial(_records, analyzer, film)
        measured = timed("film", f"{size[0]}x{size[1]}, a frame", work, plan.runs, items=frames)
        decoding = timed("decode", film.name, partial(_decode, film), plan.runs, items=frames)
        arithmetic = 1000.0 * multiply_adds(work) / rate / frames
        yield replace(measured, faces=1, arithmetic=arithmetic, decoding=decoding.value)


def _decode(film: Path) -> int:
    with open_media(film) as media:
        return sum(1 for _ in media.frames)


def _records(analyzer: Analyzer, film: Path) -> None:
    for result in analyzer.stream(film):
        json.dumps(result.to_record())
