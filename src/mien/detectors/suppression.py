"""Non-maximum suppression: of the boxes that a detector puts about one thing, keep the surest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK = 128  # boxes compared with all others at once: it bounds memory, and more or fewer are slower


def suppress(boxes: Floats, scores: Floats, overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, the surest first.

    Args:
        boxes: (n, 4).
        scores: (n,).
        overlap: a box goes where it overlaps a surer one that stays by more than this.
        of_smaller: measure the overlap as a share of the smaller box instead of the union.

    """
    order = np.argsort(-scores, kind="stable")
    kept = [np.empty(0, np.intp)]
    while order.size:
        block, order = order[:_BLOCK], order[_BLOCK:]
        beats = np.triu(_overlapping(boxes[block], boxes[block], overlap, of_smaller), k=1)
        stays, undecided = np.zeros(len(block), np.bool_), np.ones(len(block), np.bool_)
        while undecided.any():  # a few rounds over all of them, instead of one step for each
            unbeaten = undecided & ~beats[undecided].any(axis=0)
            stays |= unbeaten
            undecided &= ~(unbeaten | beats[unbeaten].any(axis=0))
        kept.append(block[stays])
        order = order[~_overlapping(boxes[kept[-1]], boxes[order], overlap, of_smaller).any(axis=0)]
    return np.concatenate(kept)


def _overlapping(some: Floats, others: Floats, overlap: float, of_smaller: bool) -> NDArray[np.bool_]:
    """Return (n, m): whether each of `some` (n, 4) and each of `others` (m, 4) overlap by more than `overlap`."""
    x1, y1, x2, y2 = some.T[:, :, None]
    u1, v1, u2, v2 = np.ascontiguousarray(others.T)
    width = np.minimum(x2, u2) - np.maximum(x1, u1)
    height = np.minimum(y2, v2) - np.maximum(y1, v1)
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area = np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)
    other_area = np.maximum(u2 - u1, 0.0) * np.maximum(v2 - v1, 0.0)
    whole = np.minimum(area, other_area) if of_smaller else area + other_area - shared
    more: NDArray[np.bool_] = shared > overlap * whole
    return more
