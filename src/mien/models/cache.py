"""Where on this machine files from the web are kept, and whether any may be fetched."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return where downloads are kept.

    MIEN_CACHE, or `mien` in XDG_CACHE_HOME, or else in the system's place for caches: ~/.cache, on a Mac
    ~/Library/Caches, on Windows %LOCALAPPDATA%.
    """
    if own := os.environ.get("MIEN_CACHE"):
        return Path(own)
    if general := os.environ.get("XDG_CACHE_HOME"):
        return Path(general) / "mien"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mien"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "mien" / "Cache"
    return Path.home() / ".cache" / "mien"


def is_offline() -> bool:
    """Return whether MIEN_OFFLINE forbids the network."""
    return os.environ.get("MIEN_OFFLINE", "") not in ("", "0")
