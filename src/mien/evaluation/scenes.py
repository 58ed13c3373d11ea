"""Pictures and films to measure speed on: one portrait (NASA, public domain), as often as there are to be faces."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from mien.results import Frame

GRIDS = {1: (1, 1), 6: (3, 2), 30: (6, 5)}
"""Columns and rows of the scenes, by the number of their faces."""

RATE = 25
"""Frames a second of the films."""

_ROOM = 1.15  # of the picture that a film shows parts of, in sizes of the film
_SWAY = 7.5  # seconds for the camera to sway to and fro


def scene(faces: int, size: tuple[int, int] = (1280, 720)) -> Frame:
    """Return a picture of that width and height with 1, 6 or 30 faces in a grid."""
    columns, rows = GRIDS[faces]
    cell = (-(-size[0] // columns), -(-size[1] // rows))
    with resources.files("mien.evaluation").joinpath("face.jpg").open("rb") as file, Image.open(file) as portrait:
        tile = ImageOps.fit(portrait.convert("RGB"), cell, Image.Resampling.BILINEAR, centering=(0.5, 0.3))
    picture = Image.new("RGB", size)
    for i in range(faces):
        picture.paste(tile, (i % columns * cell[0], i // columns * cell[1]))
    return Frame(np.asarray(picture), f"{faces} faces")


def write_film(
    target: Path | BinaryIO, faces: int, size: tuple[int, int], seconds: float, *, times: int = 1, form: str = "mp4"
) -> None:
    """Write a film (H.264) of that width and height, both even, in which a camera sways over a scene.

    What lasts `seconds` is shown so many `times` over. `form` is FFmpeg's name of the container's format.
    """
    import av

    once = io.BytesIO()
    with av.open(once, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for pixels in _swaying(faces, size, seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    with av.open(str(target) if isinstance(target, Path) else target, "w", format=form) as container:
        copy = None
        for i in range(times):
            with av.open(io.BytesIO(once.getvalue()), "r") as part:
                source = part.streams.video[0]
                copy = copy or container.add_stream_from_template(source)
                for packet in part.demux(source):
                    if packet.pts is not None and packet.dts is not None and source.duration is not None:
                        packet.pts, packet.dts = (t + i * source.duration for t in (packet.pts, packet.dts))
                        packet.stream = copy
                        container.mux(packet)


def _swaying(faces: int, size: tuple[int, int], seconds: float) -> Iterator[np.ndarray]:
    room = (round(size[0] * _ROOM), round(size[1] * _ROOM))
    pixels = scene(faces, room).pixels
    for i in range(round(seconds * RATE)):
        angle = 2 * math.pi * i / (RATE * _SWAY)
        x = round((room[0] - size[0]) * (0.5 + 0.5 * math.sin(angle)))
        y = round((room[1] - size[1]) * (0.5 + 0.5 * math.cos(angle)))
        yield np.ascontiguousarray(pixels[y : y + size[1], x : x + size[0]])
