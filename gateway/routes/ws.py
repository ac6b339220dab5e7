"""``GET /ws``: the handshake; from then on a session answers."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from websockets.datastructures import Headers
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway import endpoint
from gateway.access.roles import Need
from gateway.commands import Commands
from gateway.errors import Forbidden, NotAWebSocket
from gateway.sanic_internals import Handover, came_in_on
from gateway.services import Services
from gateway.session import Session
from gateway.streams.socket import Socket
from gateway.streams.stream import take_over


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    endpoint.add(app, "GET", "/ws", WebSockets(services).begin, need=Need.SOCKET)


class WebSockets:
    """The handler."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._commands = Commands(services)

    async def begin(self, request: Request) -> HTTPResponse:
        """Answer with a WebSocket, on which nothing is refused by status any more."""
        settings, hub = self._services.settings, self._services.hub
        if not _may_open(request):
            raise Forbidden("pages of this origin are not allowed: see CORS_ORIGINS")
        protocol = ServerProtocol(state=State.OPEN, max_size=settings.request_max_bytes)
        handshake = Handshake(request.path, Headers(request.headers))
        answer = protocol.accept(handshake)
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise NotAWebSocket(f"the handshake is refused: {protocol.handshake_exc}")
        if request.method == "HEAD":
            raise NotAWebSocket("the handshake is a GET")
        async with hub.following():
            socket = Socket(hub, protocol, patience=settings.sse_client_timeout_ms / 1000)
            take_over(request, socket)
            session = Session(self._services, self._commands, socket)
            socket.session = asyncio.create_task(session.run(answer.serialize()))
        return Handover(status=HTTPStatus.SWITCHING_PROTOCOLS)


def _may_open(request: Request) -> bool:
    """Whether the page that asks, if it is one, may: browsers let any page open a WebSocket."""
    origin = request.headers.get("origin")
    return origin is None or bool(request.app.ctx.hosts.may_open(origin, came_in_on(request)))
