"""All that relies on how Sanic is made inside; a test names each thing, for the day it changes.

Sanic has no public way to hand a connection to another protocol, to write an answer in one piece,
or to stop within somebody else's event loop. ``Any`` stands for its protocol of one connection and
for its ``Http``, the exchange of one request on it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from typing import Any, Protocol

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import (
    BadRequest,
    ExpectationFailed,
    PayloadTooLarge,
    RequestCancelled,
    RequestTimeout,
)
from sanic.headers import _HTTP1_STATUSLINES
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.server import HttpProtocol

from gateway import request_head
from gateway.request_head import Head


def skip_second_touch_up(app: Sanic[Any, Any]) -> None:
    """Have the touch-up done by the first app of a process alone.

    It takes the dispatch of signals, which nobody here uses, out of Sanic's own classes. It cannot
    be done twice, and need not: all apps share them.
    """
    app.config.TOUCHUP = not getattr(Http, "__touched__", False)


CHUNKS_AT_ONCE = 100

_HTTP1_STATUSLINES[421] = b"HTTP/1.1 421 Misdirected Request\r\n"  # which Sanic calls UNKNOWN


class Door(Protocol):
    """Who decides about connections and requests before anything is routed."""

    def enter(self, connection: Any) -> bool:
        """Whether one more connection may stay."""
        ...

    def leave(self, connection: Any) -> None:
        """It is gone, or somebody has taken it; to be called as often as one likes."""
        ...

    def check(self, hosts: Iterable[str], came_in_on: tuple[str, int]) -> None:
        """Return if the request is for us: ``hosts`` are the names that it calls us by.

        Raises:
            SanicException, GatewayError: it is not.
        """
        ...


class StrictHttp(Http):
    """Sanic's exchange, with heads and chunks held against RFC 9112, and at the door.

    Other connections have their turn between two requests, and between some chunks, that arrived
    together: Sanic goes on as long as there is something to read.
    """

    __slots__ = ("_chunks", "_extensions", "_head", "_is_next")
    request_body: Any
    request_bytes_left: Any
    request_max_size: Any

    def __init__(self, protocol: Any) -> None:
        http: Any = super()
        http.__init__(protocol)
        self._head: Head | None = None

    def init_for_request(self) -> None:
        """Called by Sanic before it waits for a request."""
        http: Any = super()
        http.init_for_request()
        self._chunks = self._extensions = 0
        self._is_next = bool(self.recv_buffer)  # it is there already

    async def http1_request_header(self) -> None:
        """Called by Sanic for each request; an error is answered, and ends the connection."""
        if self._is_next:
            await asyncio.sleep(0)
        raw = await self._receive_head()
        head = self._head
        is_new = head is None or head.raw != raw
        if head is None or is_new:
            head = request_head.read_head(raw)
        self._begin(head)
        # Who stays sends the same head again and again: it was held against the door then.
        if is_new:
            self.protocol.app.ctx.door.check(head.hosts(), came_in_on(self.request))
            self._head = head
        self._take_body()

    async def _receive_head(self) -> bytes:
        """The head, of which only the empty line at its end is left in the buffer."""
        buffer = self.recv_buffer
        while len(buffer) < len(b"\r\n"):
            await self._receive_more()
        if buffer.startswith(b"\r\n"):
            del buffer[:2]  # some clients end a body with one; RFC 9112 has it ignored
        looked = 0
        while (end := buffer.find(b"\r\n\r\n", max(0, looked - 3))) < 0:
            if len(buffer) >= self.HEADER_MAX_SIZE:
                break
            request_head.check_part(bytes(buffer), max(0, looked - 1))
            looked = len(buffer)
            await self._receive_more()
        if not 0 <= end < self.HEADER_MAX_SIZE:
            raise PayloadTooLarge("Request header exceeds the size limit")
        raw = bytes(buffer[: end + 2])
        del buffer[: end + 2]
        return raw

    def _begin(self, head: Head) -> None:
        """Make the request, and what Sanic wants to know of it."""
        connection: Any = self.protocol
        self.keep_alive = head.keep_alive
        self.head_only = head.method.upper() == "HEAD"
        self.upgrade_websocket = head.to_websocket
        self.request = request = connection.request_class(
            url_bytes=head.target,
            headers=head.fields,
            head=head.raw,
            version=head.version,
            method=head.method,
            transport=connection.transport,
            app=connection.app,
        )
        request.conn_info = connection.conn_info
        request.stream = self
        connection.state["requests_count"] += 1
        self._expect_body(head)

    def _expect_body(self, head: Head) -> None:
        if head.expectation is not None:
            if head.expectation.lower() != "100-continue":
                raise ExpectationFailed(f"Unknown Expect: {head.expectation}")
            self.expecting_continue = True
        self.request_bytes = self.request_bytes_left = head.length or 0
        if head.length is None:
            self.request_body = "chunked"  # the line break stays, before the first chunk
        else:
            self.request_body = head.length > 0
            del self.recv_buffer[:2]

    def _take_body(self) -> None:
        """Take a body that is here already; for one that is not, Sanic waits."""
        length = self.request_bytes_left
        if self.expecting_continue or not 0 < length <= self.request_max_size:
            return
        buffer = self.recv_buffer
        if len(buffer) >= length:
            self.request.body = bytes(buffer[:length])
            del buffer[:length]
            self.request_body = None

    async def read(self) -> bytes | None:
        """Called by Sanic for each piece of a body."""
        kind: Any = self.request_body
        if kind == "chunked" and not self.request_bytes_left:
            if self.expecting_continue:
                self.expecting_continue = False
                await self._send(HTTP_CONTINUE)
            try:
                await self._look_at_chunk()
            except BadRequest:
                self.keep_alive = False
                self.request_body = None  # where it ends is not known
                raise
        data: bytes | None = await super().read()
        return data

    async def _look_at_chunk(self) -> None:
        while (line := request_head.chunk_head(self.recv_buffer)) is None:
            await self._receive_more()
        self._chunks += 1
        if self._chunks % CHUNKS_AT_ONCE == 0:
            await asyncio.sleep(0)
        self._extensions += len(line.partition(b";")[2])
        if self._extensions > request_head.EXTENSIONS_MAX_BYTES:
            raise BadRequest("the chunks have too many extensions")

    async def head_response_ignored(  # type: ignore[override]
        self,
        data: bytes,
        end_stream: bool,  # noqa: FBT001
    ) -> None:
        """Called by Sanic for the body of an answer to HEAD; it awaits what cannot be awaited."""
        super().head_response_ignored(data, end_stream)


class StrictProtocol(HttpProtocol):
    """Sanic's connection, which the door counts; what each request costs is done in fewer steps."""

    __slots__ = ("_more", "_most_buffered")
    HTTP_CLASS = StrictHttp
    recv_buffer: bytearray

    def __init__(self, **parts: Any) -> None:
        connection: Any = super()
        connection.__init__(**parts)
        self.request_handler: Any = handle
        self._most_buffered: int = self.app.config.REQUEST_BUFFER_SIZE  # slow to look up
        self._more: asyncio.Future[None] | None = None  # one task waits for it at most

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        connection: Any = super()
        connection.connection_made(transport)
        task: Any = self._task
        if not self.app.ctx.door.enter(self):
            task.cancel()
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.app.ctx.door.leave(self)
        connection: Any = super()
        connection.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._time = time.monotonic()
        self.recv_buffer += data
        if len(self.recv_buffer) >= self._most_buffered and self.transport:
            self.transport.pause_reading()
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def receive_more(self) -> None:
        """Called by Sanic for each piece of a request that is not in the buffer."""
        transport: Any = self.transport
        transport.resume_reading()
        self._more = self.loop.create_future()
        await self._more

    async def send(self, data: bytes) -> None:
        """Called by Sanic for each piece of an answer."""
        transport: Any = self.transport
        if not self._can_write.is_set():
            await self._can_write.wait()
        if transport.is_closing():
            raise RequestCancelled
        transport.write(data)
        self._time = time.monotonic()


async def handle(request: Any) -> None:
    """Have a request answered, as Sanic does it for apps without middleware, signals and hosts."""
    app, http = request.app, request.stream
    try:
        route, handler, parameters = app.router.get(request.path, request.method, None)
        request.route, request._match_info = route, parameters  # noqa: SLF001 -- as Sanic does
        if http.request_body and not route.extra.ignore_body:
            await request.receive_body()
        response = http.respond(await handler(request, **parameters))
        request.responded = True
        await response.send(end_stream=True)
    except Exception as error:  # noqa: BLE001 -- Sanic has an answer to each
        await app.handle_exception(request, error)


class WholeResponse(HTTPResponse):
    """A response that is one piece of bytes, its head included."""

    __slots__ = ()

    def whole(self, *, keep_alive: bool) -> bytes:
        """The bytes; the head says whether the connection stays."""
        raise NotImplementedError

    async def send(self, data: Any = None, end_stream: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Called by Sanic once, after the handler; the request's body has been read by then."""
        http: Any = self.stream
        data = self.whole(keep_alive=http.keep_alive)
        if http.head_only:
            data = data[: data.index(b"\r\n\r\n") + 4]
        await http.protocol.send(data)
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
    request.app.ctx.door.leave(connection)
    if connection._callback_check_timeouts is not None:  # noqa: SLF001 -- Sanic has no other handle
        connection._callback_check_timeouts.cancel()  # noqa: SLF001
    return transport


def came_in_on(request: Request) -> tuple[str, int]:
    """Our address and port on the request's connection."""
    connection: Any = request.conn_info
    address, port, *_ = connection.sockname
    return address, port


def arriving_request(connection: Any) -> object:
    """A mark of the request that is on its way, and of its part: head or body; None if none is."""
    http = connection.http
    if http is None or not (http.stage is Stage.REQUEST or http.request_body):
        return None
    return connection.state["requests_count"], bool(http.request_body)


def is_idle(connection: Any) -> bool:
    """Whether nothing is asked on it now."""
    return connection.http is None or connection.http.stage is Stage.IDLE


def time_out(connection: Any) -> None:
    """Answer 408 to the request that is on its way, if nothing is answered yet."""
    task, http = connection._task, connection.http  # noqa: SLF001 -- as Sanic's own timeouts do
    if task is not None and http.stage in {Stage.REQUEST, Stage.HANDLER}:
        http.exception = RequestTimeout("the request did not arrive in time")
        task.cancel()


NEW_SECONDS = 1.0  # so long a connection may be there before its first request comes


class Server:
    """A Sanic app, served within the running event loop; its ``ctx.door`` is a :class:`Door`."""

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
            sock=listener, backlog=backlog, access_log=False, protocol=StrictProtocol
        )
        await self._server.startup()

    def refuse(self) -> None:
        """Accept no more connections."""
        self._server.server.close()

    def close_idle(self) -> None:
        """Close the connections on which nothing is asked now.

        The request of a new one may be on its way: who has just connected is heard first.
        """
        now = time.monotonic()
        for connection in self.connections:
            asked = connection.state["requests_count"]
            if asked or now - connection._time > NEW_SECONDS:  # noqa: SLF001 -- Sanic's own mark
                connection.close_if_idle()

    async def abort(self) -> None:
        """Cut off the connections that are left, and forget the app."""
        for connection in self.connections:
            connection.abort()
        await self._server.wait_closed()
        Sanic.unregister_app(self._app)
