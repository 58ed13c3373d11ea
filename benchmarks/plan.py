"""What is measured, how large and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The extent of a run.

    Attributes:
        runs: of each thing, of which the median counts; one more before them does not count.
        faces: in the pictures.
        sizes: width and height of the pictures.
        batches: of faces for the classifier.
        films: width and height of the films, all with one face.
        film_seconds: their length.
        folders: pictures in the folders.
        matrix: side of the matrices whose product gives the rate of arithmetic.

    """

    runs: int = 5
    faces: tuple[int, ...] = (1, 6, 30)
    sizes: tuple[tuple[int, int], ...] = ((640, 480), (1280, 720), (4000, 3000))
    batches: tuple[int, ...] = (1, 8, 64, 256)
    films: tuple[tuple[int, int], ...] = ((640, 360), (1280, 720), (1920, 1080))
    film_seconds: float = 8.0
    folders: tuple[int, ...] = (1000,)
    matrix: int = 2048


QUICK = Plan(
    runs=1,
    faces=(1,),
    sizes=((320, 240),),
    batches=(2,),
    films=((320, 180),),
    film_seconds=0.4,
    folders=(3,),
    matrix=256,
)
"""For a test that it runs at all."""
