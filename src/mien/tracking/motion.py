"""Where a face is going: a Kalman filter over its box.

R. E. Kalman, "A New Approach to Linear Filtering and Prediction Problems", Journal of Basic Engineering, 1960;
with velocities that fade, since people do not walk on for ever behind whatever hides them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.results import Box

Floats = NDArray[np.float64]

# In units of the face's size (the root of its box's area) and seconds.
_JITTER = 0.05  # of a detector's boxes, standard deviation
_RESTLESSNESS = 4.0  # squared velocity gained a second, by chance
_START = 2.0  # velocity at first, standard deviation
_FADING = 0.7  # seconds in which a velocity falls to 1/e while nothing is seen


class Motion:
    """The box of one face over time: what is expected of it at any later time, and how surely."""

    def __init__(self, box: Box, time: float) -> None:
        self._state, self._velocity = _coordinates(box), np.zeros(4)
        self._covariance = np.diag([_JITTER**2, _START**2])
        self._time = time

    @property
    def state(self) -> list[float]:
        """All that is known of it, in plain numbers."""
        return [*self._state.tolist(), *self._velocity.tolist(), *self._covariance.ravel().tolist(), self._time]

    @classmethod
    def of_state(cls, state: Sequence[float]) -> Motion:
        """Return the motion of which this is the `state`."""
        motion = cls((0.0, 0.0, 1.0, 1.0), state[12])
        motion._state, motion._velocity = np.array(state[:4]), np.array(state[4:8])
        motion._covariance = np.array(state[8:12]).reshape(2, 2)
        return motion

    @property
    def box(self) -> Box:
        """The box when it was last seen, freed of jitter."""
        return _box(self._state)

    def expected(self, time: float) -> tuple[Box, float]:
        """Return the box at `time`, in seconds, and the standard deviation of its place, in sizes of the face."""
        state, _, covariance = self._moved(time)
        return _box(state), math.sqrt(covariance[0, 0] + _JITTER**2)

    def update(self, box: Box, time: float) -> None:
        """Take in where the face was seen; `time` does not go back."""
        state, velocity, covariance = self._moved(time)
        error = _coordinates(box) - state
        # a box that is suddenly smaller or larger is of a face half hidden, and its centre is off as well
        jitter = max(_JITTER, float(np.abs(error[2:]).max()) / 2)
        gain = covariance[:, 0] / (covariance[0, 0] + jitter**2)
        self._state, self._velocity = state + gain[0] * error, velocity + gain[1] * error
        self._covariance = covariance - np.outer(gain, covariance[0])
        self._time = time

    def _moved(self, time: float) -> tuple[Floats, Floats, Floats]:
        """Return state, velocity and covariance at `time`, before anything is seen there."""
        passed = max(0.0, time - self._time)
        left = math.exp(-passed / _FADING)
        way = _FADING * (1.0 - left)  # that a velocity of 1 still goes
        move = np.array([[1.0, way], [0.0, left]])
        noise = _RESTLESSNESS * np.array([[passed**3 / 3, passed**2 / 2], [passed**2 / 2, passed]])
        covariance = move @ self._covariance @ move.T + noise
        return self._state + way * self._velocity, left * self._velocity, covariance


def gap(one: Box, other: Box) -> float:
    """Return how far two boxes are apart: their centres and their sizes, in sizes of the face (their mean)."""
    a, b = _coordinates(one), _coordinates(other)
    size = math.exp((a[2] + a[3] + b[2] + b[3]) / 4)
    return math.hypot((a[0] - b[0]) / size, (a[1] - b[1]) / size, (a[2] + a[3] - b[2] - b[3]) / 2)


def overlap(one: Box, other: Box, *, of_smaller: bool = False) -> float:
    """Return the area that two boxes share, as a share of their union or of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0.0 or height <= 0.0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (min(areas) if of_smaller else sum(areas) - shared)


def _coordinates(box: Box) -> Floats:
    """Return centre and the logarithms of width and height, so that sizes change by shares and stay above 0."""
    x1, y1, x2, y2 = box
    width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, math.log(width), math.log(height)])


def _box(coordinates: Floats) -> Box:
    x, y = float(coordinates[0]), float(coordinates[1])
    width, height = math.exp(min(coordinates[2], 20.0)), math.exp(min(coordinates[3], 20.0))
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
