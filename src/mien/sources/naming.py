"""Names of sources: which are streams, and what of them may stand in messages, on one line."""

from __future__ import annotations

import re

from mien.errors import SourceError, one_line

_LONGEST = 4096  # no path is longer; what is, such as content passed as a path, is not worth a screen of text

_STREAM = re.compile(r"camera:.|(rtsps?|rtmp|udp|tcp|srt|https?)://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)([^/?#]*?):[^/?#]*@")


def is_stream(name: str) -> bool:
    """Say whether `name` is that of a camera (`camera:0`) or a URL, rather than of a file; nothing is opened."""
    return _STREAM.match(name) is not None


def without_password(name: str) -> str:
    """Return a URL as it may be shown."""
    return _PASSWORD.sub(r"\1:***@", name)


def source_error(name: str, reason: str) -> SourceError:
    """Return the error that says on one line what is wrong with the source called `name`."""
    shown = name if len(name) <= _LONGEST else f"{name[:80]}… ({len(name)} characters)"
    return SourceError(one_line(f"{shown or 'an empty name'}: {reason}"))
