"""Writes all of them to a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from hostile import corpus

folder = Path(sys.argv[1])
folder.mkdir(parents=True)
for case in corpus():
    (folder / case.name).write_bytes(case.content)
print(f"{len(corpus())} files in {folder}")
