"""``/health`` and ``/metrics`` of the processes that serve nothing else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tts.observability.health import Notes, Probe, examine
from tts.wire import Refusal

Door = Callable[[str, tuple[str, int]], tuple[HTTPStatus, Refusal] | None]
"""Why a request to that ``Host``, which came in on that address, is not for us; None if it is."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def monitor(
    listener: socket.socket,
    probes: Mapping[str, Probe],
    *,
    door: Door,
    notes: Notes = tuple,
    leading: Callable[[], bool] | None = None,
) -> AsyncIterator[None]:
    """Serve both while the context is open, on the loop of the work: a stuck one answers nobody.

    ``leading`` is for a part of which one process leads: the answer's ``role`` then says which it
    is, and a standby is as healthy as the leader.
    """

    async def health(_request: web.Request) -> web.Response:
        status, answer = await examine(probes, notes)
        if leading is not None:
            answer["data"]["role"] = "leading" if leading() else "standing by"
        return _json(answer, status)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def at_the_door(request: web.Request, handler: _Handler) -> web.StreamResponse:
        refused = door(request.headers.get("Host", ""), _came_in_on(request))
        if refused is not None:
            status, answer = refused
            return _json(answer, status)
        return await handler(request)

    app = web.Application(middlewares=[at_the_door])
    app.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


def _json(answer: object, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")


def _came_in_on(request: web.Request) -> tuple[str, int]:
    address, port, *_ = request.get_extra_info("sockname")
    return address, port
