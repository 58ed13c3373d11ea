"""Near-duplicates among small grey pictures: a perceptual hash proposes, the pixels decide.

The hash is the sign of the 63 lowest DCT coefficients against their median, the construction known
as pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

HASH_DISTANCE = 6
"""Bits of 63 in which the hashes of two pictures that look the same may differ."""
COPY_DISTANCE = 1.8
"""Root mean square difference, in grey levels of 255, up to which two pictures are copies.

In FER2013 copies that were compressed again (WebP, quality 95) lie at 1.2 to 1.7 levels. Some pairs as
near are the same photo saved twice before the set was made: no pixel distance tells those from copies.
"""
SIMILAR_DISTANCE = 6.0
"""The same, up to which two pictures look the same: one photo, scaled, cut or saved differently.

Few pairs lie between 2 and 6 levels, and from there on it is mostly different pictures.
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


def similar_pairs(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the pairs among `pictures`, shape (n, height, width), that look the same.

    Returns:
        indices (m, 2), the smaller first, and the distance of each pair (m,), at most `SIMILAR_DISTANCE`.

    """
    pairs, distances = [], []
    hashes = perceptual_hash(pictures)
    flat = pictures.reshape(len(pictures), -1)
    for start in range(0, len(hashes), _CHUNK):
        bits = np.bitwise_count(hashes[start : start + _CHUNK, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(bits <= HASH_DISTANCE)
        ahead = columns > rows
        rows, columns = rows[ahead] + start, columns[ahead] + start
        for left, right in zip(rows.tolist(), columns.tolist(), strict=True):
            difference = flat[left].astype(np.float32) - flat[right]
            distance = float(np.sqrt(np.mean(difference * difference)))
            if distance <= SIMILAR_DISTANCE:
                pairs.append((left, right))
                distances.append(distance)
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(distances, np.float32)


def pairs_of(values: Iterable[Hashable], *, begin: int = 0) -> list[tuple[int, int]]:
    """Return the index of each value that came before, but the empty text, with that of the first like it.

    Args:
        values: such as the group of each face.
        begin: the index of the first.

    """
    first: dict[Hashable, int] = {}
    return [
        (before, i)
        for i, value in enumerate(values, start=begin)
        if value != "" and (before := first.setdefault(value, i)) != i
    ]


def first_of_group(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return for each of `count` items the smallest index in its group, where `pairs` belong together.

    Belonging together is taken as transitive; an item without a partner is its own first.
    """
    first = np.arange(count, dtype=np.int64)

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = int(first[index])
        return index

    for left, right in pairs:
        a, b = root(left), root(right)
        first[max(a, b)] = min(a, b)
    return np.array([root(index) for index in range(count)], dtype=np.int64)


def _cosines(length: int) -> NDArray[np.float32]:
    """Return the first rows of the DCT-II matrix for signals of `length` samples."""
    k = np.arange(_FREQUENCIES)[:, None]
    i = np.arange(length)[None, :]
    return np.cos(np.pi * (2 * i + 1) * k / (2 * length)).astype(np.float32)
