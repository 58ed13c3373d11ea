"""What is freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def give_back() -> None:
    """Have the C library hand back the memory that lies free in its heaps, where it is glibc.

    By itself it keeps what threads have freed, in a heap for each of them, up to hundreds of megabytes after a film
    with large frames. It takes some milliseconds, and changes no setting of the process.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such thing
            ctypes.CDLL(None).malloc_trim(0)
