"""For whom a request is: pages of other sites see nothing here, and command nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from sanic import HTTPResponse, Request, Sanic
from sanic.http import Http
from sanic.server import HttpProtocol

from tts.sandbox.problems import problem

AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{0,5}))?", re.ASCII)
SAFE = {"GET", "HEAD", "OPTIONS"}


class _Http(Http):
    """Sanic's exchange, which breaks when it answers a target that it cannot read."""

    __slots__ = ()

    def create_empty_request(self) -> None:
        """Called by Sanic for its answer; it would read the target again."""
        self.url = None
        super().create_empty_request()


class DoorProtocol(HttpProtocol):
    """Sanic's connection with that exchange."""

    __slots__ = ()
    HTTP_CLASS = _Http


def add_door(app: Sanic[Any, Any], host: str, allowed_hosts: Iterable[str]) -> None:
    """Answer only those who name this machine, ``host`` or one of ``allowed_hosts``.

    Any site can have its own name lead to this machine (DNS rebinding), and any page can send what
    a form can send. Where others can reach the sandbox, the address of the connection is a name,
    too.
    """
    names = {host.lower(), *(each.lower() for each in allowed_hosts)}
    reached = not _is_loopback(host.lower())

    def is_ours(authority: str, request: Request, port: int | None = None) -> bool:
        match = AUTHORITY.fullmatch(authority.lower())
        if not match or (port is not None and int(match[3] or 0) != port):
            return False
        name = (match[1] or match[2]).removesuffix(".")
        own = reached and name == _address(request)[0].removeprefix("::ffff:")
        return own or _is_loopback(name) or name in names or authority.lower() in names

    async def check(request: Request) -> HTTPResponse | None:
        hosts = request.headers.getall("host", [])
        if len(hosts) != 1 and not (request.version == "1.0" and not hosts):
            return problem(400, detail="Host: there must be exactly one")
        target = urlsplit(request.raw_url.decode("latin-1")).netloc
        for authority in filter(None, (*hosts, target)):
            if not is_ours(authority.strip(), request):
                detail = f"Host: {authority[:100]!r} is not a name of this sandbox: ALLOWED_HOSTS"
                return problem(421, detail=detail)
        origin = request.headers.get("origin")
        if origin is not None and request.method not in SAFE:
            page = urlsplit(origin).netloc
            if not is_ours(page, request, port=_address(request)[1]):
                return problem(403, detail="Origin: pages of other sites may not do this")
        return None

    app.register_middleware(check, "request")


def _address(request: Request) -> tuple[str, int]:
    connection: Any = request.transport
    address, port, *_ = connection.get_extra_info("sockname")
    return address, port


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
