"""Which addresses may be reached: a search result must not lead a program into its own network.

A name is resolved once; each of its addresses is checked, and the connection goes to a checked one, so that a name
that answers differently the second time gains nothing. Redirects are new connections and are checked alike.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore
import httpx

from mien.collect.failures import FetchError

SCHEMES = ("http", "https")

_EMBEDDING = (  # where the IPv4 address that packets end up at stands in one of IPv6, in bits from the right
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)

_Options = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is one on the internet, rather than of this machine or a network around it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        for network, shift in _EMBEDDING:
            if address in network:
                return is_public(IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
        if address.is_site_local or address.teredo is not None:
            return False
    return address.is_global and not (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


def check_url(url: str) -> httpx.URL:
    """Return a URL that may be asked for; where its host lies is checked when it is connected to.

    Raises:
        FetchError: it is no URL, not http or https, or has a user's name or password in it.

    """
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port  # whether a name is well spelt is found out only here
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise FetchError("bad address", "it is not a URL") from error
    if parsed.scheme not in SCHEMES:
        raise FetchError("bad address", f"only {' and '.join(SCHEMES)} are fetched")
    if not host or "%" in host:  # what cannot be in a name, httpx escapes
        raise FetchError("bad address", "it names no host")
    if port is not None and not 0 < port < 1 << 16:
        raise FetchError("bad address", "there is no such port")
    if parsed.userinfo:
        raise FetchError("bad address", "it holds a user's name")
    return parsed.copy_with(fragment=None)


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to public addresses only, or to any where private ones are allowed."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve `host`, check what it resolves to, and connect to it.

        Raises:
            FetchError: one of its addresses is not public.
            httpcore.ConnectError: it cannot be resolved, or none of its addresses can be reached.

        """
        failure: Exception | None = None
        for address in await self._resolve(host, port, timeout):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("the name has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: _Options | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: nothing on the web is behind one."""
        raise FetchError("private address", "a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("its name is not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("its name cannot be resolved") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_private:
            for address in addresses:
                if not is_public(ip_address(address.partition("%")[0])):
                    raise FetchError("private address", f"{host} is at {address}; --allow-private would reach it")
        return addresses
