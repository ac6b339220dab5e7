"""All that relies on how Sanic is made inside; a test names each thing, for the day it changes.

Sanic has no public way to hand a connection to another protocol, to write an answer in one piece,
or to stop within somebody else's event loop. ``Any`` stands for its protocol of one connection and
for its ``Http``, the exchange of one request on it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import RequestTimeout
from sanic.http import Http, Stage


def skip_second_touch_up(app: Sanic[Any, Any]) -> None:
    """Have the touch-up done by the first app of a process alone.

    It takes the dispatch of signals, which nobody here uses, out of Sanic's own classes. It cannot
    be done twice, and need not: all apps share them.
    """
    app.config.TOUCHUP = not getattr(Http, "__touched__", False)


class WholeResponse(HTTPResponse):
    """A response that is one piece of bytes, its head included."""

    __slots__ = ()

    def whole(self, *, keep_alive: bool) -> bytes:
        """The bytes; the head says whether the connection stays."""
        raise NotImplementedError

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Called by Sanic once, after the handler; the request's body has been read by then."""
        http: Any = self.stream
        await http.protocol.send(self.whole(keep_alive=http.keep_alive))
        http.response_func = None
        http.stage = Stage.IDLE


class Handover(HTTPResponse):
    """What a handler returns whose connection was taken: Sanic is to send nothing."""

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Let Sanic believe that it has answered, and that the connection ends with that."""
        http: Any = self.stream
        http.keep_alive = False
        http.stage = Stage.IDLE


def take_transport(request: Request) -> Any:
    """Take the connection away from Sanic, whose objects for it (some 10 KiB) can then go.

    Sanic leaves a connection alone whose ``transport`` is None; see its ``SanicProtocol.close``.
    """
    connection: Any = request.protocol
    transport = connection.transport
    connection.transport = None
    connection.connections.discard(connection)
    if connection._callback_check_timeouts is not None:  # noqa: SLF001 -- Sanic has no other handle
        connection._callback_check_timeouts.cancel()  # noqa: SLF001
    return transport


def arriving_request(connection: Any) -> object:
    """A mark of the request that is on its way, and of its part: head or body; None if none is."""
    http = connection.http
    if http is None or not (http.stage is Stage.REQUEST or http.request_body):
        return None
    return connection.state["requests_count"], bool(http.request_body)


def time_out(connection: Any) -> None:
    """Answer 408 to the request that is on its way, if nothing is answered yet."""
    task, http = connection._task, connection.http  # noqa: SLF001 -- as Sanic's own timeouts do
    if task is not None and http.stage in {Stage.REQUEST, Stage.HANDLER}:
        http.exception = RequestTimeout("the request did not arrive in time")
        task.cancel()


class Server:
    """A Sanic app, served within the running event loop."""

    def __init__(self, app: Sanic[Any, Any]) -> None:
        self._app = app
        self._server: Any = None

    @property
    def connections(self) -> Iterable[Any]:
        """Those that nobody has taken."""
        return tuple(self._server.connections)

    async def start(self, listener: socket.socket, *, backlog: int) -> None:
        """Serve on the listener."""
        self._server = await self._app.create_server(
            sock=listener, backlog=backlog, access_log=False
        )
        await self._server.startup()

    def refuse(self) -> None:
        """Accept no more connections."""
        self._server.server.close()

    def close_idle(self) -> None:
        """Close the connections on which nothing is asked now."""
        for connection in self.connections:
            connection.close_if_idle()

    async def abort(self) -> None:
        """Cut off the connections that are left, and forget the app."""
        for connection in self.connections:
            connection.abort()
        await self._server.wait_closed()
        Sanic.unregister_app(self._app)
