"""``/health`` and ``/metrics`` of the processes that serve nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tts.observability.health import Notes, Probe, examine


@contextlib.asynccontextmanager
async def monitor(
    host: str,
    port: int,
    probes: Mapping[str, Probe],
    *,
    notes: Notes = tuple,
    leading: Callable[[], bool] | None = None,
) -> AsyncIterator[None]:
    """Serve both while the context is open, on the loop of the work: a stuck one answers nobody.

    ``leading`` is for a part of which one process leads: the answer's ``role`` then says which it
    is, and a standby is as healthy as the leader.

    Raises:
        OSError: the address cannot be listened on.
    """

    async def health(_request: web.Request) -> web.Response:
        status, answer = await examine(probes, notes)
        if leading is not None:
            answer["data"]["role"] = "leading" if leading() else "standing by"
        return web.Response(
            body=orjson.dumps(answer), status=status, content_type="application/json"
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
