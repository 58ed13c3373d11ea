"""Rows as columns of text, which read the same in a pipe as on a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def in_columns(heads: Sequence[str] | None, rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return `rows` below `heads`, a line each; the columns in `right` are aligned right."""
    lines = [*([heads] if heads else []), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
