"""How often an address may guess."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

_ADDRESSES = 4096  # that are remembered: whoever has more has to be kept out elsewhere


class Throttle:
    """Counts what each address did wrong within a while; what it remembers does not grow."""

    def __init__(self, *, most: int, seconds: float) -> None:
        """Allow `most` wrongs within `seconds`."""
        self._most, self._seconds = most, seconds
        self._wrongs: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, how many

    def wait(self, address: str) -> int:
        """Return the whole seconds for which an address has to wait; 0 where it may go on."""
        since, count = self._wrongs.get(_whose(address), (0.0, 0))
        left = since + self._seconds - time.monotonic()
        return math.ceil(left) if count >= self._most and left > 0 else 0

    def wrong(self, address: str) -> None:
        """Count one."""
        whose, now = _whose(address), time.monotonic()
        since, count = self._wrongs.pop(whose, (now, 0))
        if since + self._seconds <= now:
            since, count = now, 0
        self._wrongs[whose] = since, count + 1
        if len(self._wrongs) > _ADDRESSES:
            self._wrongs.popitem(last=False)


def _whose(address: str) -> str:
    """Return what stands for one client: of IPv6, its network, out of which it may choose any address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return found.ipv4_mapped.compressed if found.ipv4_mapped else str(int(found) >> 64)
    return found.compressed
