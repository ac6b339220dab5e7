"""Putting a sandbox together and serving it inside the running event loop."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Collection
from contextlib import AsyncExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import BaseHTTPResponse

from tts.sandbox.api import Api
from tts.sandbox.behaviour import Behaviour
from tts.sandbox.control import Control
from tts.sandbox.delivery import add_delivery
from tts.sandbox.door import DoorProtocol, add_door
from tts.sandbox.faults import BadRule, Faults
from tts.sandbox.predictions import Prediction
from tts.sandbox.problems import problem
from tts.sandbox.routes import Routes, State, now
from tts.sandbox.shelf import Shelf
from tts.sandbox.speech import Speech
from tts.sandbox.stats import Stats
from tts.sandbox.templates import add_templates
from tts.sandbox.webhooks import Webhooks

# A constant, so that an app can be configured with it once; it guards nothing.
WEBHOOK_SECRET = "whsec_c2FuZGJveCB3ZWJob29rIHNpZ25pbmcga2V5IQ=="  # noqa: S105
JOURNAL = "predictions.jsonl"
BACKLOG = 2048
LOCALLY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what to listen on, where to call
FORGETTING_SECONDS = 60.0  # between two looks for words whose time is over
# Faults hang for as long as they like: Sanic's own limit must not answer for them.
TIMEOUT_SECONDS = 100_000


class Sandbox:
    """A sandbox that is being served at ``url``."""

    def __init__(self, url: str, resources: AsyncExitStack) -> None:
        self.url = url
        self._resources = resources

    async def stop(self) -> None:
        """Close everything at once, whatever hangs in it."""
        await self._resources.aclose()


async def start_sandbox(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    data_dir: Path | None = None,
    behaviour: Behaviour | None = None,
    faults_file: Path | None = None,
    allowed_hosts: Collection[str] = (),
) -> Sandbox:
    """Serve a sandbox in the running loop; ``port`` 0 is any free one.

    With a ``data_dir`` the predictions outlive the process, even one that is killed. Besides this
    machine's own names and ``host`` it is reached as one of ``allowed_hosts``.

    Raises:
        OSError: the address cannot be had, or a file cannot be read or written.
        BadRule: ``faults_file`` is no list of rules; the message names the file and the rule.
    """
    faults, stats = Faults(), Stats()
    if faults_file is not None:
        try:
            faults.add(orjson.loads(await asyncio.to_thread(faults_file.read_bytes)))
        except ValueError as error:
            raise BadRule(f"{faults_file}: {error}") from error
    async with AsyncExitStack() as resources:
        listener = resources.enter_context(_listen(host, port))
        shelf = Shelf(data_dir / JOURNAL if data_dir else None, now=now())
        resources.callback(shelf.close)
        speech = Speech()
        resources.callback(speech.close)
        state = State(behaviour or Behaviour(), shelf, speech, faults, stats)

        async def render(prediction: Prediction, moment: float) -> bytes:
            return orjson.dumps(await state.view(prediction, moment, prediction.origin))

        webhooks = Webhooks(
            secret=WEBHOOK_SECRET, render=render, behaviour=lambda: state.behaviour, stats=stats
        )
        resources.push_async_callback(webhooks.close)
        forgetting = asyncio.create_task(_forget(shelf))
        resources.callback(forgetting.cancel)
        for prediction in shelf:
            stats.created(prediction)
            webhooks.resume(prediction, now())

        app = _app()
        add_door(app, host, allowed_hosts)
        resources.callback(Sanic.unregister_app, app)
        routes = Routes(app, state)
        Api(state, webhooks, WEBHOOK_SECRET).add_to(routes)
        add_delivery(routes, state)
        add_templates(routes, state)
        Control(state).add_to(app)
        resources.push_async_callback(_stop, await _serve(app, listener))
        name = LOCALLY.get(host, host)
        name = f"[{name}]" if ":" in name else name
        return Sandbox(f"http://{name}:{listener.getsockname()[1]}", resources.pop_all())


def _listen(host: str, port: int) -> socket.socket:
    """On that address; ``::`` is IPv4 as well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


async def _forget(shelf: Shelf) -> None:
    while True:
        await asyncio.sleep(FORGETTING_SECONDS)
        shelf.forget(now())


def _app() -> Sanic[Any, Any]:
    name = f"sandbox-{secrets.token_hex(8)}"
    app: Sanic[Any, Any] = Sanic(name, env_prefix=None, configure_logging=False)
    app.config.MOTD = False
    app.config.RESPONSE_TIMEOUT = TIMEOUT_SECONDS
    # Sanic's touch-up rewrites methods of classes that all apps of a process share, to suit one.
    app.config.TOUCHUP = False

    @app.exception(SanicException)
    async def in_words_of_replicate(_request: Request, error: SanicException) -> HTTPResponse:
        return problem(error.status_code)

    app.register_middleware(_date, "response")
    return app


async def _date(_request: Any, response: BaseHTTPResponse) -> None:
    response.headers.setdefault("date", formatdate(usegmt=True))


# Any, because most of Sanic's server is without annotations. It listens as soon as it is created.
async def _serve(app: Sanic[Any, Any], listener: socket.socket) -> Any:
    server: Any = await app.create_server(
        sock=listener, backlog=BACKLOG, access_log=False, protocol=DoorProtocol
    )
    await server.startup()
    return server


async def _stop(server: Any) -> None:
    server.server.close()
    for connection in list(server.connections):
        connection.abort()
    await server.wait_closed()
