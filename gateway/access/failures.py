"""Failed credentials of each address: a few a minute are answered as what they are."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

FAILURES_A_MINUTE = 20
ADDRESSES_MAX = 10_000  # remembered; beyond that, the one that was quiet for longest is forgotten
_INTERVAL = 60 / FAILURES_A_MINUTE


class Failures:
    """Counts them. Of IPv6 the network counts, since a client has all addresses of a /64."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at: dict[str, float] = {}  # when all of an address's failures have drained

    def wait(self, address: str) -> float:
        """Seconds until another failure is heard; 0 if one is heard now."""
        empty_at = self._empty_at.get(_network(address))
        return 0.0 if empty_at is None else max(0.0, empty_at + _INTERVAL - self._clock() - 60)

    def count(self, address: str) -> None:
        """One more."""
        network, now = _network(address), self._clock()
        empty_at = max(self._empty_at.pop(network, now), now) + _INTERVAL
        if len(self._empty_at) >= ADDRESSES_MAX:
            del self._empty_at[next(iter(self._empty_at))]
        self._empty_at[network] = empty_at


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False))
