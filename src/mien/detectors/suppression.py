"""Non-maximum suppression: of the boxes that a detector puts about one thing, keep the surest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_ROWS = np.array([-1, -1, -1, 0, 0, 1, 1, 1])  # of the eight neighbours
_COLUMNS = np.array([-1, 0, 1, -1, 1, -1, 0, 1])

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


def peaks(grids: Sequence[Floats], threshold: float) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return of each grid of scores the rows and columns that stay, of those with at least `threshold`.

    What `suppress` does to windows of which each overlaps its eight neighbours by too much and no other, as those of
    a network that goes through a picture in steps of a sixth of its window and are to overlap by less than half: only
    neighbours are compared.
    """
    places, steps, scores, found = [], [], [], []
    end = 0
    for grid in grids:
        rows, columns = np.nonzero(grid >= threshold)
        step = grid.shape[1] + 1  # a column between the last of a row and the first of the next
        places.append(end + (rows + 1) * step + columns)
        steps.append(np.full(len(rows), step))
        scores.append(grid[rows, columns])
        found.append((rows, columns))
        end += (grid.shape[0] + 2) * step  # a row above and one below
    order = np.argsort(-np.concatenate(scores), kind="stable")
    place, step = np.concatenate(places)[order], np.concatenate(steps)[order]
    around = place[:, None] + step[:, None] * _ROWS + _COLUMNS
    nobody = len(order)
    ranks = np.full(end, nobody)
    ranks[place] = np.arange(nobody)
    stays = np.zeros(nobody, np.bool_)
    undecided = np.arange(nobody)
    while undecided.size:
        best = undecided[ranks[around[undecided]].min(axis=1) > undecided]
        stays[order[best]] = True
        ranks[around[best]] = ranks[place[best]] = nobody
        undecided = undecided[ranks[place[undecided]] < nobody]
    parts = np.split(stays, np.cumsum([len(rows) for rows, _ in found])[:-1])
    return [(rows[part], columns[part]) for (rows, columns), part in zip(found, parts, strict=True)]


def _overlapping(some: Floats, others: Floats, overlap: float, of_smaller: bool) -> NDArray[np.bool_]:
    """Return (n, m): whether each of `some` (n, 4) and each of `others` (m, 4) overlap by more than `overlap`."""
    x1, y1, x2, y2 = some.T[:, :, None]
    u1, v1, u2, v2 = np.ascontiguousarray(others.T)
    shared = np.minimum(x2, u2)
    shared -= np.maximum(x1, u1)
    np.maximum(shared, 0.0, out=shared)
    height = np.minimum(y2, v2)
    height -= np.maximum(y1, v1)
    shared *= np.maximum(height, 0.0, out=height)
    area = np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)
    other_area = np.maximum(u2 - u1, 0.0) * np.maximum(v2 - v1, 0.0)
    whole = np.minimum(area, other_area) if of_smaller else area + other_area
    if not of_smaller:
        whole -= shared
    whole *= np.float32(overlap)
    more: NDArray[np.bool_] = shared > whole
    return more
