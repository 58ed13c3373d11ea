"""Collecting from a web on this machine, and what a collection holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from mien.collect.collecting import collect
from mien.collect.collection import read_collection
from mien.collect.limits import Limits
from mien.collect.queries import Query
from mien.collect.request import Request

FAST = ("--allow-private", "--delay", "0")


def gather(folder, *, label="happy", limit=50, provider="openverse", progress=None, retry=False, concurrency=8):
    """Collect faces."""
    request = Request((Query(label, "face", ("{word}",), limit),), (provider,), contact="tests@example.org")
    limits = Limits(delay=0, allow_private=True, concurrency=concurrency)
    return collect(request, folder, limits=limits, progress=progress, retry=retry)


def failed(report) -> dict[str, int]:
    return dict(report.labels["happy"].failed)


def there(folder) -> list[str]:
    """Return the pictures, which are those that have a line."""
    lines = {line.file for line in read_collection(folder)}
    assert lines == {path.relative_to(folder).as_posix() for path in folder.glob("pictures/*/*")}
    return [line.url.rpartition("/")[2] for line in read_collection(folder)]


def provenance(folder: Path) -> list[dict[str, object]]:
    """Return the lines of provenance without their times."""
    lines = [asdict(line) for line in read_collection(folder)]
    for line in lines:
        assert len(line.pop("time")) == 20
    return lines


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "pictures").rglob("*.*")}


def reasons(err: str) -> Counter[str]:
    """Return what the summary says of pictures that were not kept, over all labels."""
    table = err.split("\nprovider")[0].splitlines()
    counted: Counter[str] = Counter()
    for line in table[1:]:
        for part in line.split(None, 3)[3:]:
            for entry in part.split(", "):
                reason, _, number = entry.rpartition(" ")
                counted[reason] += int(number)
    return counted
