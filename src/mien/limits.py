"""How large a picture may be unless somebody raises it: alike in the library, for every verb and in the service."""

from __future__ import annotations

MAX_PIXELS = 50_000_000
"""A picture with more pixels is refused unless the limit is raised: decoding takes some eight bytes a pixel."""

MAX_FILM_PIXELS = 16_000_000
"""So is a film whose frames have more, unless another limit is set for both: a decoder holds a dozen frames."""
