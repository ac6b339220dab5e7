"""The baseline of the streams' latency: what LISTEN brings is written to every socket, no more."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar

import psycopg
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hi\n\n"


class Client(asyncio.Protocol):
    """One connection."""

    open: ClassVar[set[Any]] = set()

    def connection_made(self, transport: Any) -> None:
        """Remember it."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Begin, or show that somebody is here."""
        if data.startswith(b"GET /events "):
            self.transport.write(HEAD)
            self.open.add(self.transport)
        else:
            self.transport.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- gone is gone
        """Forget it."""
        self.open.discard(self.transport)


async def serve(url: str, port: int) -> None:
    """Listen to both sides."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await connection.execute("LISTEN bench")
    await asyncio.get_running_loop().create_server(Client, "127.0.0.1", port, backlog=4096)
    async for notification in connection.notifies():
        frame = b"event: task_update\ndata: %b\n\n" % notification.payload.encode()
        for client in Client.open:
            client.write(frame)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
