"""What collecting may cost, and where it may go."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mien.errors import UsageError
from mien.limits import MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Limits:
    """What fetches may cost.

    Attributes:
        max_bytes: of a picture, unpacked.
        max_pixels: of a picture, by its header.
        timeout: seconds for an answer to be whole.
        concurrency: pictures at a time.
        per_host: requests to one host at a time.
        delay: seconds between the starts of two requests to one host; None: 0.2, and to services what they ask for.
        allow_private: whether addresses that are not on the internet may be reached.

    """

    max_bytes: int = 20_000_000
    max_pixels: int = MAX_PIXELS
    timeout: float = 30.0
    concurrency: int = 8
    per_host: int = 2
    delay: float | None = None
    allow_private: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: one is out of range; the message names the option.

        """
        for name in ("max_bytes", "max_pixels", "timeout", "concurrency", "per_host"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"--{name.replace('_', '-')}: it is a number above 0")
        if self.delay is not None and not 0 <= self.delay < math.inf:
            raise UsageError("--delay: it is a number of seconds, 0 or more")
