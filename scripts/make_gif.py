"""Films → docs/film.gif: what mien draws on them, small enough for a README.

    python scripts/make_gif.py ../shared/media/two_faces.gif ../shared/media/three_people_walking.gif docs/film.gif

The films have to be free to be handed on, with their origin in NOTICE. The frames are drawn as `mien analyze --out
NAME.mp4` draws them, and none is chosen by what the model says of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.drawing.layout import lay_out
from mien.drawing.painting import paint
from mien.sources import Selection

COLOURS = 112


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("gif", type=Path)
    parser.add_argument("--fps", type=float, default=6.25, help="frames a second that are shown (6.25)")
    parser.add_argument("--seconds", type=float, default=2.4, help="of each film, from its beginning (2.4)")
    chosen = parser.parse_args()
    analyzer = mien.Analyzer()
    frames = [frame for film in chosen.films for frame in marked(analyzer, film, chosen.fps, chosen.seconds)]
    write(frames, chosen.gif, round(1000 / chosen.fps))
    print(f"{chosen.gif}: {len(frames)} frames, {chosen.gif.stat().st_size / 1e6:.2f} MB")


def marked(analyzer: mien.Analyzer, film: Path, fps: float, seconds: float) -> Iterator[NDArray[np.uint8]]:
    """Yield annotated frames of a film; every one is analysed, and one of each `1 / fps` seconds is shown."""
    before, due = None, 0.0
    for frame, result in analyzer.stream_media([(film.name, film)], selection=Selection(end=seconds)):
        if frame is None or result.time is None:
            raise SystemExit(f"{film}: {result.error}")
        before = lay_out(result.faces, (frame.width, frame.height), before)
        if result.time + 1e-6 >= due:
            due += 1 / fps
            yield paint(frame.pixels, before)


def write(frames: list[NDArray[np.uint8]], gif: Path, milliseconds: int) -> None:
    """Write an endless animation; all frames share one palette, so that what stands still costs nothing."""
    sample = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 6)]))
    palette = sample.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    pictures[0].save(
        gif, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, optimize=True, disposal=1
    )


if __name__ == "__main__":
    main()
