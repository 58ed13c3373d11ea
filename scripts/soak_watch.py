"""What a process holds, as Linux tells it, and what a folder does."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at one moment.

    Attributes:
        anonymous: MiB of memory that is its own and backed by no file: what a leak makes grow.
        shared_out: MiB of all its resident memory, what it shares divided among those that share it (PSS).
        handles: open file handles, sockets among them.
        threads: of the process.
        cpu: seconds that it has computed since its start.

    """

    anonymous: float
    shared_out: float
    handles: int
    threads: int
    cpu: float


def held(pid: int) -> Held:
    """Return what the process holds.

    Raises:
        OSError: it has ended.

    """
    folder = Path("/proc", str(pid))
    memory = (folder / "smaps_rollup").read_text()
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return Held(
        anonymous=_mib(memory, "Anonymous"),
        shared_out=_mib(memory, "Pss"),
        handles=len(os.listdir(folder / "fd")),
        threads=int(fields[17]),
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
    )


def _mib(memory: str, name: str) -> float:
    found = re.search(rf"^{name}:\s*(\d+) kB$", memory, re.MULTILINE)
    return round(int(found[1]) / 1024, 2) if found else 0.0


def size(folder: Path) -> float:
    """Return the MiB of all that lies in a folder, in which files come and go."""
    total = 0
    for name, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(name, file)).st_size
            except FileNotFoundError:
                continue
    return round(total / (1 << 20), 3)
