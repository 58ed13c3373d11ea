"""How sharp a face is: the variance of the Laplacian.

Pech-Pacheco, Cristóbal, Chamorro-Martínez and Fernández-Valdivia, "Diatom autofocusing in brightfield microscopy: a
comparative study", ICPR 2000.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.align import crop_faces
from mien.results import Detection

SIDE = 48
"""Of the grey crop that is measured, in pixels: at a fixed size, large and small faces are measured alike.

What is lost below this size no model of mien sees.
"""
BLURRED = 50.0
"""Below this, expressions are hard to tell by eye, looked at for 100 faces at 3 to 400.

FER2013's faces lie at 390 (1%) to 1970 (median); portraits of 100 pixels, blurred by a Gaussian of 2 pixels, at 80
to 270, of 3 pixels at 30 to 100. Dim and flat faces of a film of the size of 60 pixels begin at 60.
"""


def sharpness(pixels: NDArray[np.uint8], detection: Detection) -> float:
    """Return the variance of the Laplacian over a face, in grey levels squared, to a tenth."""
    face = crop_faces(pixels, [detection], size=SIDE)[0].astype(np.float32)
    beside = face[:-2, 1:-1] + face[2:, 1:-1] + face[1:-1, :-2] + face[1:-1, 2:]
    return round(float((beside - 4 * face[1:-1, 1:-1]).var()), 1)
