"""What ``gateway/sanic_internals.py`` relies on is there in the Sanic that is installed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from sanic import HTTPResponse, Request, Sanic
from sanic.http import Http, Stage
from sanic.response.types import BaseHTTPResponse
from sanic.server.async_server import AsyncioServer
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway import sanic_internals
from gateway.sanic_internals import (
    Handover,
    Server,
    WholeResponse,
    arriving_request,
    skip_second_touch_up,
    take_transport,
    time_out,
)

PATIENCE_SECONDS = 30.0
HEADS = "heads are not held against RFC 9112"
STREAM, ANSWERS, DRAIN = "streams cannot begin", "answers cannot be sent", "a stop does not drain"
SLOW = "slow requests are not noticed"
NAMES = [
    (HttpProtocol, "transport", STREAM),
    (HttpProtocol, "connections", STREAM),
    (HttpProtocol, "_callback_check_timeouts", "a stream ends while its history is sent"),
    (HttpProtocol, "http", SLOW),
    (HttpProtocol, "state", SLOW),
    (HttpProtocol, "_task", SLOW),
    (HttpProtocol, "abort", SLOW),
    (HttpProtocol, "close_if_idle", DRAIN),
    (HttpProtocol, "send", ANSWERS),
    (HttpProtocol, "_can_write", ANSWERS),
    (HttpProtocol, "_time", ANSWERS),
    (HttpProtocol, "receive_more", HEADS),
    (HttpProtocol, "data_received", HEADS),
    (Http, "keep_alive", ANSWERS),
    (Http, "stage", ANSWERS),
    (Http, "protocol", ANSWERS),
    (Http, "response_func", ANSWERS),
    (Http, "request_body", SLOW),
    (Http, "exception", SLOW),
    (Http, "head_only", ANSWERS),
    (Http, "head_response_ignored", ANSWERS),
    (Http, "http1_request_header", HEADS),
    (Http, "recv_buffer", HEADS),
    (Http, "request", HEADS),
    (Http, "upgrade_websocket", HEADS),
    (Http, "request_bytes", HEADS),
    (HttpProtocol, "request_class", HEADS),
    (Request, "body", HEADS),
    (Request, "conn_info", HEADS),
    (Request, "stream", HEADS),
    (Http, "init_for_request", "one connection keeps all others waiting"),
    (Http, "HEADER_MAX_SIZE", HEADS),
    (Http, "_receive_more", HEADS),
    (Http, "read", "chunks are not held against RFC 9112"),
    (Http, "request_bytes_left", "chunks are not held against RFC 9112"),
    (Http, "expecting_continue", "chunks are not held against RFC 9112"),
    (HttpProtocol, "HTTP_CLASS", HEADS),
    (HttpProtocol, "conn_info", "connections are not counted"),
    (BaseHTTPResponse, "stream", ANSWERS),
    (Stage, "IDLE", ANSWERS),
    (Stage, "REQUEST", SLOW),
    (Stage, "HANDLER", SLOW),
    (AsyncioServer, "startup", "the gateway does not start"),
    (AsyncioServer, "connections", DRAIN),
    (AsyncioServer, "server", DRAIN),
    (AsyncioServer, "wait_closed", DRAIN),
]


@pytest.mark.parametrize(
    ("owner", "name", "loss"), NAMES, ids=[f"{owner.__name__}.{name}" for owner, name, _ in NAMES]
)
def test_the_name_is_there(owner: type, name: str, loss: str):
    """Without it something breaks, and here it is said what."""
    assert hasattr(owner, name), f"Sanic has no {owner.__name__}.{name} any more: {loss}"


class Greeting(WholeResponse):
    """An answer in one piece."""

    def whole(self, *, keep_alive: bool) -> bytes:
        """It says whether the connection stays."""
        connection = b"keep-alive" if keep_alive else b"close"
        return b"HTTP/1.1 200 OK\r\nconnection: %b\r\ncontent-length: 2\r\n\r\nhi" % connection


class OpenDoor:
    """Lets everybody in, and notes by which names it was called."""

    def __init__(self) -> None:
        self.inside: set[Any] = set()
        self.hosts: list[str] = []

    def enter(self, connection: Any) -> bool:
        """Whether it may stay."""
        self.inside.add(connection)
        return True

    def leave(self, connection: Any) -> None:
        """It is gone, or taken."""
        self.inside.discard(connection)

    def check(self, hosts: Iterable[str], came_in_on: tuple[str, int]) -> None:
        """A request calls us by these names."""
        assert came_in_on[1] > 0
        self.hosts += hosts


class Small:
    """A Sanic app with a greeting and a connection that can be taken, and a client of it."""

    def __init__(self, name: str) -> None:
        self.app: Sanic[Any, Any] = Sanic(name, env_prefix=None, configure_logging=False)
        self.app.config.MOTD = False
        self.door = self.app.ctx.door = OpenDoor()
        self.app.config.RESPONSE_TIMEOUT = 0.2
        skip_second_touch_up(self.app)
        self.app.add_route(self._greet, "/", methods=["GET", "HEAD"])
        self.app.add_route(self._echo, "/", methods=["POST"])
        self.app.add_route(self._take, "/taken")
        self.server = Server(self.app)
        self.taken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()

    async def _greet(self, _request: Request) -> HTTPResponse:
        return Greeting()

    async def _echo(self, request: Request) -> HTTPResponse:
        return HTTPResponse(request.body)

    async def _take(self, request: Request) -> HTTPResponse:
        transport = take_transport(request)
        transport.set_protocol(asyncio.Protocol())
        self.taken.set_result(transport)
        await self.begun.wait()
        return Handover()

    def protocols(self) -> list[HttpProtocol]:
        """What Sanic has in memory for connections."""
        gc.collect()
        objects = gc.get_objects()
        return [o for o in objects if isinstance(o, HttpProtocol) and o.app is self.app]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that nothing was sent on."""
        return await asyncio.open_connection(*self.address)

    async def connection(self) -> Any:
        """The server's side of the only connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (connections := tuple(self.server.connections)):
                await asyncio.sleep(0.01)
        (connection,) = connections
        return connection


@contextlib.asynccontextmanager
async def serving(name: str) -> AsyncIterator[Small]:
    small = Small(name)
    listener = socket.create_server(("127.0.0.1", 0))
    small.address = listener.getsockname()
    await small.server.start(listener, backlog=10)
    yield small
    small.server.refuse()
    await small.server.abort()


async def test_a_whole_response_leaves_the_connection_for_the_next_request():
    """Two requests on one connection, each with one answer."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("whole") as small:
        reader, writer = await small.connect()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: keep-alive" in head
            assert await reader.readexactly(2) == b"hi"
        writer.close()


async def test_a_door_hears_of_everybody():
    """It lets each connection in and out, and is told by which names each request calls us."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("door") as small:
        reader, writer = await small.connect()
        writer.write(b"GET http://y/ HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"hi")
        assert small.door.hosts == ["x", "y"]
        assert len(small.door.inside) == 1
        writer.close()
        while small.door.inside:
            await asyncio.sleep(0.01)


async def test_a_head_that_comes_again_says_the_same_and_another_one_is_heard_anew():
    """On one connection: the door is asked once for each head that differs from the one before."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("again") as small:
        reader, writer = await small.connect()
        for host, body in (("x", b"one"), ("x", b"two"), ("y", b"six"), ("x", b"three")):
            length = f"content-length: {len(body)}\r\n"
            writer.write(f"POST / HTTP/1.1\r\nhost: {host}\r\n{length}\r\n".encode() + body)
            assert length.encode() in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(body)) == body
        assert small.door.hosts == ["x", "y", "x"]
        writer.close()


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_body_is_the_same_at_once_and_in_pieces(pieces: int):
    """Also when the next request comes right behind it."""
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabcdef"
    raw = post + post.replace(b"abcdef", b"ghijkl")
    size = -(-len(raw) // pieces)
    async with asyncio.timeout(PATIENCE_SECONDS), serving(f"body{pieces}") as small:
        reader, writer = await small.connect()
        for start in range(0, len(raw), size):
            writer.write(raw[start : start + size])
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.readuntil(b"\r\n\r\nabcdef")
        await reader.readuntil(b"\r\n\r\nghijkl")
        writer.close()


async def test_a_body_larger_than_the_buffer_comes_whole():
    """Reading stops while the buffer is full, and goes on."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("large") as small:
        reader, writer = await small.connect()
        body = bytes(range(256)) * 4096
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        writer.close()


async def test_an_answer_waits_for_a_client_that_reads_slowly():
    """It leaves when the transport takes more."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("slow") as small:
        reader, writer = await small.connect()
        connection = await small.connection()
        connection.pause_writing()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        while connection.http.stage is not Stage.HANDLER:
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        connection.resume_writing()
        await reader.readuntil(b"hi")
        writer.close()


async def test_a_body_that_is_to_be_asked_for_is_asked_for():
    """``Expect: 100-continue`` is answered before the body comes; a strange one is refused."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\nexpect: %b\r\n\r\n"
    async with asyncio.timeout(PATIENCE_SECONDS), serving("expect") as small:
        reader, writer = await small.connect()
        writer.write(head % b"100-continue")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abcdef")
        await reader.readuntil(b"\r\n\r\nabcdef")
        writer.write(head % b"a-miracle")
        assert (await reader.readline()).startswith(b"HTTP/1.1 417 ")
        writer.close()


async def test_an_answer_to_head_is_the_head():
    """Of an answer in one piece, too; the connection stays."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("head") as small:
        reader, writer = await small.connect()
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"content-length: 2" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_taken_connection_is_out_of_sanics_hands():
    """Sanic lets its handler take its time, sends nothing, closes nothing, and forgets it all."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("taken") as small:
        reader, writer = await small.connect()
        writer.write(b"GET /taken HTTP/1.1\r\nhost: x\r\n\r\n")
        transport = await small.taken
        assert tuple(small.server.connections) == ()
        assert not small.door.inside
        now = asyncio.get_running_loop().time
        deadline = now() + 3 * small.app.config.RESPONSE_TIMEOUT
        while now() < deadline:
            assert small.protocols(), "the handler was ended by a timeout"
            await asyncio.sleep(0.05)
        small.begun.set()
        while small.protocols():
            await asyncio.sleep(0.05)
        assert not transport.is_closing()
        transport.write(b"ours")
        assert await reader.readexactly(4) == b"ours"
        transport.abort()
        writer.close()


async def test_a_request_that_is_on_its_way_is_seen_and_can_be_timed_out():
    """Its mark stays the same as long as it is the same request; 408 is its answer."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("slow") as small:
        reader, writer = await small.connect()
        connection = await small.connection()
        assert arriving_request(connection) is None
        writer.write(b"GET / HT")
        while (mark := arriving_request(connection)) is None:
            await asyncio.sleep(0.01)
        writer.write(b"TP/1.1\r\n")
        assert arriving_request(connection) == mark
        time_out(connection)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_stop_ends_idle_connections_and_leaves_busy_ones():
    """Only a connection on which nothing is asked is closed."""
    async with asyncio.timeout(PATIENCE_SECONDS), serving("stop") as small:
        reader, writer = await small.connect()
        connection = await small.connection()
        writer.write(b"GET / HT")
        while arriving_request(connection) is None:
            await asyncio.sleep(0.01)
        small.server.close_idle()
        writer.write(b"TP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"hi")).endswith(b"hi")
        small.server.close_idle()
        assert await reader.read() == b""
        writer.close()


async def test_a_stop_hears_who_has_just_connected(monkeypatch):
    """The request may be on its way; who says nothing for long is no reason to wait."""
    monkeypatch.setattr(sanic_internals, "NEW_SECONDS", 3600.0)
    async with asyncio.timeout(PATIENCE_SECONDS), serving("new") as small:
        reader, writer = await small.connect()
        await small.connection()
        small.server.close_idle()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"hi")).endswith(b"hi")
        writer.close()
    monkeypatch.setattr(sanic_internals, "NEW_SECONDS", 0.0)
    async with asyncio.timeout(PATIENCE_SECONDS), serving("silent") as small:
        reader, writer = await small.connect()
        await small.connection()
        small.server.close_idle()
        assert await reader.read() == b""
        writer.close()


async def test_a_process_can_have_two_apps():
    """The touch-up rewrites Sanic's classes; a second one would fail."""
    async with serving("first"), serving("second") as second:
        _, writer = await second.connect()
        writer.close()
