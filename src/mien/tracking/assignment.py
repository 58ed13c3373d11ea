"""Who goes with whom at the least cost in all.

The Hungarian method (H. W. Kuhn, Naval Research Logistics Quarterly, 1955), by shortest augmenting paths
(R. Jonker and A. Volgenant, Computing, 1987): O(rows² x columns).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def assign(costs: NDArray[np.float64], limit: float) -> list[tuple[int, int]]:
    """Return the pairs of row and column that cost the least in all, where to leave a row alone costs `limit`.

    Args:
        costs: shape (rows, columns); infinite where two may not go together.
        limit: above 0; no pair costs more.

    """
    if 0 in costs.shape:
        return []
    if len(costs) > costs.shape[1]:
        return sorted((row, column) for column, row in assign(costs.T, limit))
    return [(row, column) for row, column in _cheapest(np.minimum(costs, limit)) if costs[row, column] < limit]


def _cheapest(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the best pairs of a finite matrix with no more rows than columns."""
    rows, columns = costs.shape
    row_of = [-1] * columns
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    for new in range(rows):
        distance, via = np.full(columns, math.inf), np.full(columns, -1)
        done = np.zeros(columns, np.bool_)
        row, column, length = new, -1, 0.0
        while True:  # grow the tree of shortest paths until it reaches a free column
            reached = length + costs[row] - row_price[row] - column_price
            nearer = ~done & (reached < distance)
            distance[nearer], via[nearer] = reached[nearer], column
            column = int(np.where(done, math.inf, distance).argmin())
            length = float(distance[column])
            if row_of[column] < 0:
                break
            done[column] = True
            row = row_of[column]
        row_price[new] += length
        for passed in np.flatnonzero(done).tolist():
            row_price[row_of[passed]] += length - distance[passed]
            column_price[passed] -= length - distance[passed]
        while column >= 0:  # turn the path about
            before = int(via[column])
            row_of[column] = row_of[before] if before >= 0 else new
            column = before
    return sorted((row, column) for column, row in enumerate(row_of) if row >= 0)
