"""What a person looks like from one moment to the next: the colours of head and clothes, not who it is.

Colour histograms compared by Hellinger's distance, as in D. Comaniciu, V. Ramesh and P. Meer, "Kernel-Based
Object Tracking", IEEE Transactions on Pattern Analysis and Machine Intelligence, 2003; here in three bands.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mien.results import Box

Signature = NDArray[np.float32]
"""Square roots of shares, shape (bands, bins): the length of each band is 1, or 0 where it is not in the picture."""

_BANDS = ((-0.35, 0.15), (0.15, 0.95), (1.1, 2.0))
"""Hair, face and clothes: top and bottom in heights of the face's box, from its upper edge."""
_FACE = 1
_SAMPLES = 24  # across and down a band
_HUES, _LIGHTS = 6, 6
_NOTHING = np.zeros(_HUES * _HUES + _LIGHTS, np.float32)


def signature(pixels: NDArray[np.uint8], box: Box) -> Signature:
    """Return the colours about a face.

    Args:
        pixels: RGB, shape (height, width, 3).
        box: of the face; it may reach beyond the picture.

    """
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = box
    columns = np.linspace(x1, x2, _SAMPLES).clip(0, width - 1).astype(np.intp)
    bands: list[NDArray[np.float32]] = []
    for top, bottom in _BANDS:
        rows = np.linspace(y1 + top * (y2 - y1), y1 + bottom * (y2 - y1), _SAMPLES)
        rows = rows[(rows >= 0) & (rows < height)].astype(np.intp)
        rows = rows if len(rows) >= _SAMPLES // 3 else rows[:0]
        bands.append(pixels[np.ix_(rows, columns)].reshape(-1, 3) + np.float32(8.0))  # in the dark, hues are noise
    # a lamp or a flash makes everything lighter, and nobody someone else: light is told in that of the face
    face = bands[_FACE] if len(bands[_FACE]) else np.full((1, 3), 128, np.float32)
    usual = face.sum(axis=1).mean()
    return np.stack([_histogram(band, usual) if len(band) else _NOTHING for band in bands])


def _histogram(colours: NDArray[np.float32], usual: np.float32) -> Signature:
    """Return the shares of hues, whatever the light, and of lights in relation to the `usual`, whatever the hue."""
    light = colours.sum(axis=1)
    red, green = (colours[:, :2] / light[:, None]).T
    # skin, cloth and walls lie within a small part of all hues
    hues = [((share - 0.2) / 0.3 * _HUES).clip(0, _HUES - 1).astype(np.intp) for share in (red, green)]
    lights = (light / usual * (_LIGHTS / 2)).clip(0, _LIGHTS - 1).astype(np.intp)
    counts = np.bincount(hues[0] * _HUES + hues[1], minlength=_HUES * _HUES)
    shares = np.concatenate([counts, np.bincount(lights, minlength=_LIGHTS)]) / (2 * len(colours))
    return np.sqrt(shares, dtype=np.float32)


def distance(one: Signature, other: Signature) -> float:
    """Return how different two signatures are: 0 where they are equal, 1 where they share no colour.

    Only bands that both have are compared; without any, nothing is known, and they count as halfway alike.
    """
    both = _present(one) & _present(other)
    if not both.any():
        return 0.5
    likeness = float((one * other).sum(axis=1)[both].mean())
    return math.sqrt(max(0.0, 1.0 - likeness))


def blend(old: Signature, new: Signature, share: float) -> Signature:
    """Return `old` moved towards `new` by `share`; a band that only one of them has is that one's."""
    old, new = (np.where(_present(one)[:, None], one, other) for one, other in ((old, new), (new, old)))
    mixed = old * (1.0 - share) + new * share
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.asarray(mixed / np.maximum(lengths, 1e-9), np.float32)


def _present(looks: Signature) -> NDArray[np.bool_]:
    """Return which bands are in the picture, (bands,)."""
    return np.asarray(looks.any(axis=1))
