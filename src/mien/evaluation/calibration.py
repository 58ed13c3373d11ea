"""Whether a confidence of 0.8 is right four times in five, and the temperature that makes it so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """The reliability diagram (Niculescu-Mizil and Caruana, 2005), in bins of equal width over 0 to 1.

    Attributes:
        counts: (BINS,) answers in each bin.
        confidence: (BINS,) their mean confidence; 0 where there are none.
        accuracy: (BINS,) the share of them that is right; 0 where there are none.

    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini et al., 2015): mean distance of the two, 0 to 1."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.counts))


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Return the diagram of answers with `confidence` (n,), 0 to 1, of which those in `right` (n,) are so."""
    bins = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    some = np.maximum(counts, 1)
    return Reliability(
        counts=counts,
        confidence=np.bincount(bins, weights=confidence, minlength=BINS) / some,
        accuracy=np.bincount(bins, weights=right.astype(np.float64), minlength=BINS) / some,
    )


def fit_temperature(probabilities: NDArray[np.floating], wanted: NDArray[np.intp]) -> float:
    """Return the temperature to divide logits by (Guo et al., 2017), between 0.1 and 10.

    It minimises the negative log-likelihood of the labels, which is convex in its inverse. Without labels it is 1.

    Args:
        probabilities: (n, k), the softmax of the logits at temperature 1.
        wanted: (n,) index of the label of each; -1 where it does not count.

    """
    known = wanted >= 0
    if not known.any():
        return 1.0
    logits = np.log(np.maximum(probabilities[known].astype(np.float64), 1e-30))
    target = wanted[known]

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        top = scaled.max(axis=1)
        partition = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((partition - scaled[np.arange(len(target)), target]).mean())

    low, high = 0.1, 10.0
    while high - low > 1e-4:
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return 2.0 / (low + high)
