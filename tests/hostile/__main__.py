"""Writes all of them to a folder: `python -m hostile FOLDER`, in tests/ and with `mien` installed."""

from __future__ import annotations

import sys
from pathlib import Path

from hostile import corpus, write

folder = Path(sys.argv[1])
write(corpus(), folder)
print(f"{len(corpus())} files in {folder}")
