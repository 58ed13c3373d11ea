"""What `mien collect` may cost, and how polite it is, as options."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "Politeness and limits"

Concurrency = Annotated[int, typer.Option(min=1, rich_help_panel=_PANEL, help="Pictures to fetch at a time.")]
PerHost = Annotated[int, typer.Option(min=1, rich_help_panel=_PANEL, help="Requests to one host at a time.")]
Delay = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=_PANEL,
        help="Time between two requests to one host. Default: 0.2, and 3 and 1 for searches by openverse and "
        "wikimedia.",
    ),
]
MaxBytes = Annotated[
    float,
    typer.Option(
        rich_help_panel=_PANEL, metavar="MILLIONS", help="Leave out pictures of more than this many million bytes."
    ),
]
MaxPixels = Annotated[
    float,
    typer.Option(
        rich_help_panel=_PANEL, metavar="MILLIONS", help="Leave out pictures of more than this many million pixels."
    ),
]
Timeout = Annotated[
    float,
    typer.Option(metavar="SECONDS", rich_help_panel=_PANEL, help="Give up on a picture that is not there by then."),
]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        rich_help_panel=_PANEL,
        help="Also reach addresses of this machine and its networks, such as a mirror of yours.",
    ),
]


def millions(option: str, value: float) -> int:
    """Return a number that an option gives in millions.

    Raises:
        UsageError: it is not above 0, or endless.

    """
    from mien.errors import UsageError

    if not 0 < value < 1e9:
        raise UsageError(f"{option} is a number of millions above 0")
    return max(1, round(value * 1e6))
