"""Whole files → files cut short, and with bits turned over, the same ones every time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hostile.case import Case, Ends

_HEAD = 64  # bytes in which formats state sizes and kinds


def cut(name: str, content: bytes, *, ends: Ends = Ends.BADLY) -> Iterator[Case]:
    """Yield a file cut short at every tenth of its length."""
    stem, _, suffix = name.rpartition(".")
    for tenth in range(1, 10):
        yield Case(f"{stem}-cut-at-{10 * tenth}-percent.{suffix}", content[: len(content) * tenth // 10], ends)


def flipped(name: str, content: bytes, *, seeds: int = 6) -> Iterator[Case]:
    """Yield a file with bits turned over: few in its head, few anywhere, and many, in turn."""
    stem, _, suffix = name.rpartition(".")
    for seed in range(seeds):
        where, end, count = (
            ("in-the-head", min(_HEAD, len(content)), 3),
            ("anywhere", len(content), 10),
            ("everywhere", len(content), len(content) // 50),
        )[seed % 3]
        dice = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(count):
            damaged[dice.randrange(end)] ^= 1 << dice.randrange(8)
        yield Case(f"{stem}-bits-flipped-{where}-seed-{seed}.{suffix}", bytes(damaged))
