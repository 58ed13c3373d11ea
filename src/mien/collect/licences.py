"""Licences as services write them, and which of them are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mien.errors import UsageError

CODES = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "cc0", "pdm")
"""Creative Commons' licences and its two marks of the public domain, as Openverse names them."""

GROUPS = ("open", "commercial", "modification")

OWN = "own pictures"
"""Stands in the place of the licence of pictures that the user had already."""

_CREATIVE = re.compile(r"\b(?:cc[ -])?(by(?:-nc)?(?:-sa|-nd)?)\b")
_PUBLIC = re.compile(r"\b(?:public[ -]domain|pdm?|no restrictions)\b")


@dataclass(frozen=True, slots=True)
class Licences:
    """Which licences are wanted.

    Attributes:
        wanted: `open`: all that are stated; `commercial`, `modification`: those in `CODES` that allow it; or codes.
        unknown: whether pictures of unknown licence are wanted, too.

    """

    wanted: tuple[str, ...] = ("open",)
    unknown: bool = False

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            UsageError: one is unknown, or a group stands beside codes.

        """
        groups = [name for name in self.wanted if name in GROUPS]
        strange = [name for name in self.wanted if name not in (*GROUPS, *CODES)]
        if strange or not self.wanted or (groups and len(self.wanted) > 1):
            raise UsageError(
                f"--licence {','.join(self.wanted)}: give {', '.join(GROUPS)}, or codes such as by,by-sa,cc0 "
                f"({', '.join(CODES)})"
            )

    def refusal(self, licence: str) -> str | None:
        """Return why a picture under `licence`, in the service's words, is not wanted; None where it is."""
        if licence == OWN:
            return None
        if not licence:
            return None if self.unknown else "licence unknown"
        found = code(licence)
        if self.wanted == ("open",):
            fits = True
        elif self.wanted == ("commercial",):
            fits = found in CODES and "nc" not in found.split("-")
        elif self.wanted == ("modification",):
            fits = found in CODES and "nd" not in found.split("-")
        else:
            fits = found in self.wanted
        return None if fits else "licence not wanted"


def code(licence: str) -> str:
    """Return the code in `CODES` of a licence such as "CC BY-SA 4.0" or "Public domain"; else its own words."""
    text = " ".join(licence.lower().split())
    if "cc0" in text or "cc-zero" in text:
        return "cc0"
    if match := _CREATIVE.search(text.replace("cc-by", "cc by")):
        return match[1]
    return "pdm" if _PUBLIC.search(text) else text


def creative_commons(code: str, version: str) -> str:
    """Return how a licence that Openverse calls `code` is written for people."""
    name = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(code, f"CC {code.upper()}")
    return f"{name} {version}".strip()
