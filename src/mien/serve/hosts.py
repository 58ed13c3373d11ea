"""Which names clients may ask for.

A page can let its own name point to this machine and then talk to a server here as if it came from there (DNS
rebinding): its requests are the browser's, from the same origin, and tell themselves apart by the name alone.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.errors import one_line
from mien.serve.guard import path_of, refuse_socket
from mien.serve.problems import Problem
from mien.serve.settings import Settings
from mien.serve.signin import OPEN


class AllowedHosts:
    """Refuses requests for any other than this machine's own names and those that the settings allow."""

    def __init__(self, app: ASGIApp, *, names: tuple[str, ...]) -> None:
        """Wrap `app`; `names` are allowed besides this machine's own."""
        self._app = app
        self._names = frozenset(name.lower().strip("[]") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        # what watches over a server asks it by its address
        if scope["type"] == "lifespan" or path_of(scope) in OPEN or self._allows(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        asked = one_line(Headers(scope=scope).get("host", "")[:80]) or "no host"
        problem = Problem(421, f"requests for {asked} are not answered here (the server's --allowed-host)")
        if scope["type"] == "http":
            await problem.response()(scope, receive, send)
        else:
            await refuse_socket(problem, scope, receive, send)

    def _allows(self, headers: Headers) -> bool:
        name = name_of(headers.get("host", ""))
        return name in self._names or is_this_machine(name)


def checked(settings: Settings) -> bool:
    """Say whether names are checked: where they are told, and where nothing else keeps other sites' pages out."""
    return bool(settings.allowed_hosts) or (not settings.api_key and is_this_machine(settings.host.lower()))


def name_of(host: str) -> str:
    """Return the name in a Host header, without a port and the brackets of IPv6."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def is_this_machine(name: str) -> bool:
    """Say whether a name or address can be nothing but the machine on which it is used."""
    if name == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(name).is_loopback
    return False
