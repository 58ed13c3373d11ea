"""The providers by their names, each loaded when it is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import mien
from mien.collect.licences import Licences
from mien.collect.limits import Limits
from mien.collect.places import Places
from mien.collect.providers.protocol import Provider
from mien.errors import MissingExtraError, UsageError

LOCAL = "local"
"""The provider that says nothing of whether the network is there."""

NAMES = ("openverse", "wikimedia", "ddgs", LOCAL)
DEFAULT = ("openverse", "wikimedia")


def check_providers(names: Sequence[str], *, licences: Licences, contact: str | None, source: Path | None) -> None:
    """Check that the providers can be asked.

    Raises:
        MissingExtraError: what they need is not installed.
        UsageError: a name is unknown or stands twice, or an option that one of them needs is missing.

    """
    if not names or len(set(names)) < len(names) or set(names) - set(NAMES):
        raise UsageError(f"--provider {' '.join(names)}: give {', '.join(NAMES)}, each once at most")
    if ("local" in names) != (source is not None):
        raise UsageError("--provider local and --from DIR, the folder with the pictures, belong together")
    if source is not None and not source.is_dir():
        raise UsageError(f"--from {source}: there is no such folder")
    if set(names) == {"local"}:
        return
    if "ddgs" in names and not licences.unknown:
        raise UsageError(
            "ddgs does not say under which licence pictures are: add --allow-unknown-licence if you may use them"
        )
    if contact is None or not contact.strip() or not contact.isprintable() or not contact.isascii():
        raise UsageError(
            "--contact is missing: an e-mail address or web page of yours, in ASCII, that is sent with all requests, "
            "as Wikimedia asks; MIEN_CONTACT may hold it"
        )
    needed = ("anyio", "httpcore", "httpx", *(["ddgs"] if "ddgs" in names else []))
    if any(find_spec(module) is None for module in needed):
        raise MissingExtraError("collecting from the web", "collect")


@asynccontextmanager
async def open_providers(
    names: Sequence[str],
    *,
    licences: Licences,
    limits: Limits,
    contact: str | None,
    source: Path | None,
    places: Places,
) -> AsyncIterator[list[Provider]]:
    """Yield the providers of those names, which have been checked, in their order."""
    local: list[Provider] = []
    if source is not None:
        from mien.collect.providers.local import Local

        local = [Local(source, max_bytes=limits.max_bytes)]
    if set(names) == {"local"}:
        yield local
        return
    from mien.collect.fetching import Fetcher
    from mien.collect.providers.openverse import Openverse
    from mien.collect.providers.wikimedia import Wikimedia

    user_agent = f"mien/{mien.__version__} (+{(contact or '').strip()})"
    async with Fetcher(user_agent=user_agent, limits=limits, places=places) as fetcher:
        web: list[Provider] = [Openverse(fetcher, licences), Wikimedia(fetcher)]
        if "ddgs" in names:
            from mien.collect.providers.ddgs import PAUSE, Ddgs

            web.append(Ddgs(fetcher, pause=PAUSE if limits.delay is None else limits.delay))
        known = {provider.name: provider for provider in (*web, *local)}
        yield [known[name] for name in names]
