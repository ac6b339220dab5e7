"""The names under which this gateway is reached; whoever uses another one is sent away.

A page of any site can have its own name lead to this machine (DNS rebinding). The browser then
takes us for that site, and lets the page read everything. Only the ``Host`` tells the two apart.
"""

from __future__ import annotations

import ipaddress
import re
from http import HTTPStatus

from sanic.exceptions import BadRequest

from gateway.cors import ANY
from gateway.errors import HostNotAllowed, refusal
from tts.config import Settings
from tts.wire import Refusal

AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{0,5}))?", re.ASCII)
ORIGIN = re.compile(r"(https?)://([^/?#@]+)(?:/.*)?")
PORTS = {"http": 80, "https": 443}
REMEMBERED_MAX = 1000
SHOWN_CHARACTERS = 100

Address = tuple[str, int]


class Hosts:
    """Loopback, HOST, the host of PUBLIC_URL, ALLOWED_HOSTS.

    Beyond them the address that a connection came in on, where others than this machine can reach
    it: load balancers ask for the health of an address.
    """

    def __init__(self, settings: Settings) -> None:
        self._own = settings.host.strip("[]").lower()
        self._public = _origin_of(settings.public_url)
        self._origins = settings.allowed_origins
        names = [_authority(each) for each in settings.allowed_hosts]
        self._listed = {name for name, port in names if port is None}
        self._listed_with_port = {(name, port) for name, port in names if port is not None}
        self._beyond_loopback = not _is_loopback(self._own)
        self._allowed: set[str] = set()

    def check(self, host: str, came_in_on: Address) -> None:
        """Return if the ``Host`` of a request is one of ours.

        Raises:
            BadRequest: it is no host.
            HostNotAllowed: it is somebody else's.
        """
        if host in self._allowed:
            return
        name, port = _authority(host)
        if not self._is_ours(name, port):
            if not (self._beyond_loopback and name == _plain(came_in_on[0])):
                raise HostNotAllowed(
                    f"Host: {host[:SHOWN_CHARACTERS]!r} is not a name of this service; "
                    "if it should be one, add it to ALLOWED_HOSTS"
                )
            return  # another connection may have come in elsewhere
        if len(self._allowed) >= REMEMBERED_MAX:
            self._allowed.clear()
        self._allowed.add(host)

    def refusal(self, host: str, came_in_on: Address) -> tuple[HTTPStatus, Refusal] | None:
        """The same as an answer, for who serves without Sanic; None if the name is ours."""
        try:
            self.check(host, came_in_on)
        except (BadRequest, HostNotAllowed) as error:
            return refusal(error, "a request")
        return None

    def may_open(self, origin: str, came_in_on: Address) -> bool:
        """Whether a page of that origin may open a WebSocket, which no browser keeps it from.

        It may if it came from this gateway, or if ``CORS_ORIGINS`` lists it. What the request names
        as its ``Host`` is no proof of anything.
        """
        if not self._origins.isdisjoint({origin, ANY}):
            return True
        page = _origin_of(origin)
        if page is None:
            return False
        scheme, name, port = page
        listening = came_in_on[1]
        if page == self._public or (name, port) in self._listed_with_port:
            return True
        if name in self._listed:
            return port in {PORTS[scheme], listening}
        ours = _is_loopback(name) or name == self._own
        ours = ours or (self._beyond_loopback and name == _plain(came_in_on[0]))
        return ours and port == listening

    def _is_ours(self, name: str, port: int | None) -> bool:
        return (
            _is_loopback(name)
            or name == self._own
            or name in self._listed
            or (self._public is not None and name == self._public[1])
            or (name, port) in self._listed_with_port
            # A client leaves out the port that its scheme has anyway, and which that is only the
            # proxy before us knows.
            or (port is None and any((name, each) in self._listed_with_port for each in (80, 443)))
        )


def _authority(text: str) -> tuple[str, int | None]:
    """The name, without brackets or a dot at its end, and the port of ``host:port``.

    Raises:
        BadRequest: it is none.
    """
    match = AUTHORITY.fullmatch(text.lower())
    if not match:
        raise BadRequest(
            f"Host: must be a host and perhaps a port, not {text[:SHOWN_CHARACTERS]!r}"
        )
    return match[1].strip("[]").removesuffix("."), int(match[2]) if match[2] else None


def _origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None if it is no http(s) URL, such as the ``null`` of a sandbox."""
    match = ORIGIN.fullmatch(url.lower())
    if not match:
        return None
    try:
        name, port = _authority(match[2])
    except BadRequest:
        return None
    return match[1], name, PORTS[match[1]] if port is None else port


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # Browsers and resolvers keep these names on this machine (RFC 6761).
        return name == "localhost" or name.endswith(".localhost")


def _plain(address: str) -> str:
    """An address as it stands in a URL; IPv4 that came in on a socket of IPv6 is IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)
