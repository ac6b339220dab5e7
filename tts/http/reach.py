"""Where an address that somebody else chose may lead: never into our own network."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tts.http.errors import OutOfReach

if TYPE_CHECKING:
    import httpx

DEFAULT_PORTS = {"http": 80, "https": 443}
# Names that no public name server answers for.
INNER_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
# What the name servers of some VPN programs answer for every name.
PLACEHOLDERS = ipaddress.ip_network("198.18.0.0/15")
# Public by their registry, but clouds answer there with what a machine alone should learn.
METADATA = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "168.63.129.16/32")]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Reach:
    """With ``hosts``: these and what is below them alone, by https. Without: any public address.

    ``own`` is the base URL of who chose the address, by our own settings: what lies there may be
    fetched wherever that is, and if that is this machine, so may the rest of the machine.
    """

    hosts: frozenset[str] = frozenset()
    own: httpx.URL | None = None

    def check(self, url: httpx.URL) -> None:
        """Judge an address by what it says, before anything is sent.

        Raises:
            OutOfReach: it may not be fetched.
        """
        if url.scheme not in DEFAULT_PORTS or not url.host:
            raise OutOfReach("its address is no http(s) URL")
        if url.userinfo:
            raise OutOfReach("its address carries credentials")
        if self._is_own(url.host, port(url)):
            return
        if self.hosts and not self._is_listed(url.host):
            raise OutOfReach("its host is none of REPLICATE_OUTPUT_HOSTS")
        if self.hosts and url.scheme != "https":
            raise OutOfReach("its address is not https")

    def admits(self, host: str, number: int, address: str) -> bool:
        """Whether a connection to ``address``, as ``host`` was resolved, may be made."""
        if self._is_own(host, number):
            return True
        try:
            parsed = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False  # an unusual spelling, which the system would understand all the same
        if parsed.is_loopback:
            return self.own is not None and is_loopback(self.own.host)
        if self.hosts and parsed in PLACEHOLDERS:
            return True  # the certificate says who is there
        special = (
            parsed.is_multicast or parsed.is_reserved or any(parsed in net for net in METADATA)
        )
        return parsed.is_global and not special

    def admits_by_proxy(self, host: str, number: int) -> bool:
        """Whether a proxy, which resolves the name itself, may be asked for ``host``."""
        if self._is_own(host, number) or self._is_listed(host):
            return True
        if ":" in host or host.replace(".", "").isdigit() or host.lower().startswith("0x"):
            return self.admits(host, number, host)
        return "." in host.rstrip(".") and not host.rstrip(".").lower().endswith(INNER_SUFFIXES)

    def _is_own(self, host: str, number: int) -> bool:
        return self.own is not None and (host, number) == (self.own.host, port(self.own))

    def _is_listed(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(name == listed or name.endswith("." + listed) for listed in self.hosts)


def port(url: httpx.URL) -> int:
    """The port that the URL means."""
    return url.port or DEFAULT_PORTS.get(url.scheme, 0)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by name or number."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return _unwrapped(ipaddress.ip_address(name)).is_loopback
    except ValueError:
        return False


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
