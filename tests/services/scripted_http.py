"""An HTTP server that answers what a test wrote down, over real sockets, misconduct included."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from fnmatch import fnmatchcase
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """An answer; with ``cut`` only that many bytes of the body are sent of those promised."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True)
class Reset:
    """The whole request is read, and then the connection is reset."""


@dataclass(frozen=True)
class Hang:
    """The whole request is read, and then nothing happens."""


@dataclass(frozen=True)
class Drip:
    """A reply that never ends and never pauses for long, so that no read of it times out."""


Act = Reply | Reset | Hang | Drip


def answer(document: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; header names have underscores for hyphens."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(document).encode()
    return Reply(status, body, {"Content-Type": "application/json", **given})


@dataclass(frozen=True)
class Request:
    """What arrived; ``target`` is the path with its query."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class ScriptedHttp:
    """``async with ScriptedHttp() as server``: for each route a list of acts, the last repeated."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._acts: dict[str, list[Act]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, self.port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def on(self, route: str, *acts: Act) -> None:
        """Answer ``route`` ("GET /path", without a query; * is anything) with ``acts`` in turn."""
        self._acts[route] = list(acts)

    def asked(self, route: str) -> list[Request]:
        """The requests that came for the route."""
        return [r for r in self.requests if fnmatchcase(_route(r.method, r.target), route)]

    def _acts_of(self, route: str) -> list[Act]:
        if route in self._acts:
            return self._acts[route]
        matching = (acts for pattern, acts in self._acts.items() if fnmatchcase(route, pattern))
        return next(matching, [Reply(501)])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served outside of a task")
        self.connections += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while await self._serve(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, as it may
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can carry another."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        headers = BytesHeaderParser().parsebytes(rest)
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
        self.requests.append(Request(method, target, headers, body))
        acts = self._acts_of(_route(method, target))
        act = acts.pop(0) if len(acts) > 1 else acts[0]
        whole = True
        match act:
            case Hang():
                await asyncio.Event().wait()
            case Reset():
                # With no time to linger, closing sends a reset instead of an orderly end.
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
                return False
            case Drip():
                writer.write(b"HTTP/1.1 200 Scripted\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case Reply():
                chunked = "Transfer-Encoding" in act.headers
                length = {} if chunked else {"Content-Length": str(len(act.body))}
                fields = {**length, **act.headers}
                lines = [f"{name}: {value}" for name, value in fields.items()]
                start = "\r\n".join([f"HTTP/1.1 {act.status} Scripted", *lines, "", ""])
                writer.write(start.encode() + act.body[: act.cut])
                await writer.drain()
                whole = act.cut is None
        return whole


def _route(method: str, target: str) -> str:
    return f"{method} {urlsplit(target).path}"
