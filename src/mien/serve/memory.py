"""What is freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # of mallopt(3)
_LARGE = 4 << 20  # bytes; the pixels and feature maps of ordinary pictures have fewer, and stay quick


def give_back_what_is_freed() -> None:
    """Let the C library return every large block as it is freed, where it is glibc.

    By itself, glibc learns from large blocks that come and go to keep them in its heaps, of which each thread has
    one. Pictures of 50 million pixels in different forms, one after the other, then leave two gigabytes behind.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries have no such thing
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
