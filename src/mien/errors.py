"""What can go wrong, each with a message of one line that names the thing and says how to go on."""

from __future__ import annotations


class MienError(Exception):
    """The parent of every error that mien raises on purpose."""


class UsageError(MienError):
    """What was asked for makes no sense or is not known here."""


class SourceError(MienError):
    """A picture, or what was given in its place, cannot be read."""


class OutputError(MienError):
    """A result cannot be written where it was asked for."""


class ModelError(MienError):
    """A model file is missing, damaged, or does not describe itself completely."""


class DataError(MienError):
    """A data set is not in the form its reader expects."""


class MissingExtraError(MienError):
    """An optional dependency is needed and not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'mien[{extra}]'")
        self.extra = extra


def one_line(text: str) -> str:
    r"""Return `text` with what would break a line, or hide in it, escaped: a line end becomes \n."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
