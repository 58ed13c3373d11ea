"""Names of sources in messages: whatever a file is called, what is said of it stays on one line."""

from __future__ import annotations

from mien.errors import SourceError, one_line

_LONGEST = 4096  # no path is longer; what is, such as content passed as a path, is not worth a screen of text


def source_error(name: str, reason: str) -> SourceError:
    """Return the error that says on one line what is wrong with the source called `name`."""
    shown = name if len(name) <= _LONGEST else f"{name[:80]}… ({len(name)} characters)"
    return SourceError(one_line(f"{shown or 'an empty name'}: {reason}"))
