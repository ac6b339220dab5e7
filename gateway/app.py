"""The gateway: its Sanic app, served inside the event loop of whoever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from http import HTTPStatus
from typing import Any

from prometheus_client import generate_latest
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import MethodNotAllowed, NotFound, SanicException
from sanic.log import logger as sanic_logger

from gateway import errors
from gateway.access.admission import report
from gateway.cors import Cors, is_preflight
from gateway.door import Door
from gateway.hosts import Hosts
from gateway.metrics import REQUESTS
from gateway.routes import (
    audio,
    callbacks,
    dead_letters,
    docs,
    events,
    failures,
    me,
    pages,
    series,
    system,
    tokens,
    tts,
    usage,
    webhooks,
    ws,
)
from gateway.sanic_internals import Server, skip_second_touch_up
from gateway.services import Services
from gateway.slow_requests import SlowRequests
from gateway.streams import credentials
from tts.http.listening import bind, listen, url_of
from tts.observability.metrics.registries import GATEWAY, show

METHODS = ("GET", "HEAD", "POST", "DELETE")  # those that any route has
BACKLOG = 4096  # Sanic's 100 lets a thousand clients that come at once wait for seconds
DRAIN_POLL_SECONDS = 0.02


def create_app(services: Services) -> Sanic[Any, Any]:
    """A Sanic app with every route; its name is its own, so that a process can have several."""
    name = f"gateway-{secrets.token_hex(8)}"
    app: Sanic[Any, Any] = Sanic(name, env_prefix=None, configure_logging=False)
    app.config.MOTD = False
    skip_second_touch_up(app)
    app.config.PROXIES_COUNT = services.settings.proxies_count or None
    app.config.REQUEST_MAX_SIZE = services.settings.request_max_bytes
    # A request may wait for its task; only then does an answer take long.
    app.config.RESPONSE_TIMEOUT = services.settings.wait_max_seconds + 30
    origins = services.settings.allowed_origins
    app.ctx.admission = services.admission
    app.ctx.cors = Cors(origins) if origins else None
    app.ctx.hosts = Hosts(services.settings)
    app.ctx.door = Door(services.settings, app.ctx.hosts, services.admission.room)
    app.ctx.needs = {}
    app.exception(Exception)(_answer)
    for routes in (
        tts,
        dead_letters,
        callbacks,
        events,
        ws,
        tokens,
        me,
        failures,
        usage,
        series,
        system,
        audio,
        pages,
        webhooks,
    ):
        routes.add_to(app, services)
    docs.add_to(app, services)  # when all the others are there
    return app


async def _answer(request: Request, error: Exception) -> HTTPResponse:
    """What Sanic itself refuses: no such route or method, a body that is too large."""
    cors: Cors | None = request.app.ctx.cors
    unrouted = isinstance(error, MethodNotAllowed | NotFound)
    if unrouted and request.method == "OPTIONS":
        # Sanic takes a body that is left unread for a fault of ours.
        exchange: Any = request
        with contextlib.suppress(SanicException):  # it is none, or too long
            await exchange.receive_body()
    if unrouted and cors is not None and is_preflight(request):
        response = cors.preflight(request)  # no route has this method
    elif unrouted and request.method == "OPTIONS" and (allowed := _allowed(request)):
        response = HTTPResponse(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
    else:
        response = errors.answer(request, error)
        report(error, None, request.client_ip, "none")
        if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = _allowed(request)
    if cors is not None:
        cors.add_to(response, request)
    REQUESTS.answered("any", "none", response.status, 0.0)
    return response


def _allowed(request: Request) -> str:
    """The methods of the path; Sanic names none where a variable path has several."""
    served = [method for method in METHODS if _is_served(request, method)]
    return ", ".join([*served, "OPTIONS"] if served else [])


def _is_served(request: Request, method: str) -> bool:
    if request.path == "*":  # the whole server
        return True
    try:
        request.app.router.get(request.path, method, None)
    except (MethodNotAllowed, NotFound):
        return False
    return True


async def own_metrics() -> bytes:
    """Those of this process."""
    return generate_latest()


class Gateway:
    """The HTTP API and the streams.

    >>> gateway = Gateway(services)
    >>> await gateway.start()
    >>> await gateway.stop()
    """

    def __init__(self, services: Services) -> None:
        show(GATEWAY)
        self.hub = services.hub
        self._services = services
        self._settings = services.settings
        self._app = create_app(services)
        self._server: Server | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def run(self, listener: socket.socket | None = None) -> None:
        """Serve until canceled, then drain."""
        await self.start(listener)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve on ``listener``, or else on the settings' host and port.

        Raises:
            Unavailable: the address cannot be had.
        """
        listener = listener or bind(self._settings.host, self._settings.port)
        listen(listener, BACKLOG)
        # At debug level only: it reports every client that goes away.
        sanic_logger.setLevel(logging.WARNING)
        server = Server(self._app)
        await server.start(listener, backlog=BACKLOG)
        self._server = server
        slow = SlowRequests(server, self._settings.request_timeout_seconds)
        self._watches = [
            asyncio.create_task(slow.watch()),
            asyncio.create_task(credentials.watch(self._services.admission, self.hub)),
        ]
        if self._settings.queue_max_tasks:
            self._watches.append(asyncio.create_task(self._services.queue_limit.watch()))
        self.url = url_of(listener)

    async def stop(self) -> None:
        """Accept nobody any more, send the streams away, and let requests in flight finish.

        What is not done ``SHUTDOWN_SECONDS`` later is cut off. Stopping twice does nothing more.
        """
        server, self._server = self._server, None
        if server is None:
            return
        server.refuse()
        for watch in self._watches:
            watch.cancel()
        await self.hub.aclose()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.shutdown_seconds):
                while server.connections or any(self.hub.readers):
                    server.close_idle()
                    await asyncio.sleep(DRAIN_POLL_SECONDS)
        self.hub.abort()
        await server.abort()
        await self._services.quotas.aclose()
