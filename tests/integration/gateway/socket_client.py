"""A client of ``/ws`` on a library that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway.gateway_under_test import Running
from tests.waiting import SECONDS


class Client:
    """Sends messages and takes the ones that come, each within a deadline."""

    greeting: Mapping[str, Any]

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = 0

    async def next(self) -> dict[str, Any]:
        """The next message of any kind."""
        async with asyncio.timeout(SECONDS):
            return json.loads(await self.connection.recv())

    async def of(self, *kinds: str) -> dict[str, Any]:
        """The next message of one of those kinds."""
        while (message := await self.next())["type"] not in kinds:
            pass
        return message

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return what answers it."""
        self._ids += 1
        await self.connection.send(json.dumps({"type": kind, "id": self._ids, **fields}))
        answer = await self.of("ack", "error", "pong")
        assert answer["id"] == self._ids
        return answer

    async def updates(self, count: int) -> list[dict[str, Any]]:
        """The data of the next ``count`` updates."""
        return [(await self.of("task_update"))["data"] for _ in range(count)]

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the end, once it is there."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.connection.close_code or 0, self.connection.close_reason or ""


@contextlib.asynccontextmanager
async def client_of(its: Running, query: str = "", **options: Any) -> AsyncIterator[Client]:
    """A connected client that has been greeted; ``options`` are those of websockets."""
    url = f"ws://127.0.0.1:{its.settings.port}/ws{query}"
    async with connect(url, proxy=None, open_timeout=SECONDS, **options) as connection:
        client = Client(connection)
        hello = await client.next()
        assert hello["type"] == "connected"
        client.greeting = hello["data"]
        yield client
