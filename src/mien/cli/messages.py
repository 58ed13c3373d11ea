"""Lines on standard error, above a progress bar, or nowhere if it is closed."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print `text`, one line, for people."""
    if sys.stderr is not None:  # looked up each time, since a bar takes it over
        sys.stderr.write(f"mien: {text}\n")
