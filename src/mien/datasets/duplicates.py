"""Near-duplicates among small grey pictures: a perceptual hash proposes, the pixels decide.

The hash is the sign of the 63 lowest DCT coefficients against their median, the construction known
as pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HASH_DISTANCE = 6
"""Bits of 63 in which the hashes of two copies may differ."""
PIXEL_DISTANCE = 6.0
"""Root mean square difference, in grey levels of 255, up to which two pictures are copies.

Among the pairs that the hash proposes in FER2013, recompressed copies lie at 1 to 2 levels, few pairs
between 2 and 6, and from there on it is mostly different pictures.
"""

_FREQUENCIES = 8
_CHUNK = 512


def perceptual_hash(pictures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return one 64-bit hash for each of `pictures`, shape (n, height, width), grey, 0-255."""
    count, height, width = pictures.shape
    low = np.einsum(
        "ai,nij,bj->nab", _cosines(height), pictures.astype(np.float32), _cosines(width), optimize=True
    ).reshape(count, -1)[:, 1:]
    bits = np.zeros((count, _FREQUENCIES * _FREQUENCIES), dtype=bool)
    bits[:, 1:] = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def duplicate_groups(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return for each of `pictures`, shape (n, height, width), the index of the first of its copies.

    A picture without copies is its own first. Being a copy is taken as transitive.
    """
    first = np.arange(len(pictures), dtype=np.int64)

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = int(first[index])
        return index

    for left, right in _copies(pictures):
        a, b = root(left), root(right)
        first[max(a, b)] = min(a, b)
    return np.array([root(index) for index in range(len(first))], dtype=np.int64)


def _copies(pictures: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i, j), i < j, of pictures that are copies of each other."""
    hashes = perceptual_hash(pictures)
    flat = pictures.reshape(len(pictures), -1)
    for start in range(0, len(hashes), _CHUNK):
        distances = np.bitwise_count(hashes[start : start + _CHUNK, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(distances <= HASH_DISTANCE)
        ahead = columns > rows
        rows, columns = rows[ahead] + start, columns[ahead] + start
        for left, right in zip(rows.tolist(), columns.tolist(), strict=True):
            difference = flat[left].astype(np.float32) - flat[right]
            if float(np.sqrt(np.mean(difference * difference))) <= PIXEL_DISTANCE:
                yield left, right


def _cosines(length: int) -> NDArray[np.float32]:
    """Return the first rows of the DCT-II matrix for signals of `length` samples."""
    k = np.arange(_FREQUENCIES)[:, None]
    i = np.arange(length)[None, :]
    return np.cos(np.pi * (2 * i + 1) * k / (2 * length)).astype(np.float32)
