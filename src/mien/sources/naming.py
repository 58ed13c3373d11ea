"""Names of sources in messages: whatever a file is called, what is said of it stays on one line."""

from __future__ import annotations

from mien.errors import SourceError

_LONGEST = 4096  # no path is longer; what is, such as content passed as a path, is not worth a screen of text


def one_line(text: str) -> str:
    r"""Return `text` with what would break a line, or hide in it, escaped: a line end becomes \n."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def source_error(name: str, reason: str) -> SourceError:
    """Return the error that says on one line what is wrong with the source called `name`."""
    shown = name if len(name) <= _LONGEST else f"{name[:80]}… ({len(name)} characters)"
    return SourceError(one_line(f"{shown or 'an empty name'}: {reason}"))
