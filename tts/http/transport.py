"""What sends the requests of our httpx clients: aiohttp, which is loaded for the first of them.

It takes a tenth of a second and 8 MB, and a process that has nothing to ask for has no use for it.
"""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import TYPE_CHECKING

import httpx

from tts.http.reach import Reach

if TYPE_CHECKING:
    from tts.http.aiohttp_transport import AiohttpTransport

JSON_BYTES = 5_000_000  # the longest document that is read
MAX_BYTES = "max_bytes"  # the request's extension with a limit of its own; None for no limit


class Transport(httpx.AsyncBaseTransport):
    """For one event loop; proxies come from the environment, but none stands before this machine.

    ``max_bytes`` bounds each body whose request has no limit of its own. With ``reach``, nothing
    is connected to that it does not admit. ``trust`` says who vouches for servers; without one the
    machine does.

    Raises httpx's errors: ``ConnectError`` and ``ConnectTimeout`` only when nothing was sent; and
    :class:`FetchError` for what must not be fetched or read.
    """

    def __init__(
        self,
        *,
        max_bytes: int = JSON_BYTES,
        reach: Reach | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._reach = reach
        self._trust = trust

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the body of the response is read as it is asked for."""
        return await self._connections.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        if "_connections" in vars(self):
            await self._connections.aclose()

    @cached_property
    def _connections(self) -> AiohttpTransport:
        from tts.http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 -- see above

        return AiohttpTransport(max_bytes=self._max_bytes, reach=self._reach, trust=self._trust)
