"""What sends our requests: aiohttp, which is loaded for the first of them.

It takes a tenth of a second and 8 MB, and a process that has nothing to ask for has no use for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import httpx

from tts.http.reach import Reach

if TYPE_CHECKING:
    from tts.http.aiohttp_transport import AiohttpTransport

JSON_BYTES = 5_000_000  # the longest document that is read
CONNECT_SECONDS = 5.0
NOTHING: Mapping[str, str] = {}


class Answer(Protocol):
    """A reply whose body has not been read yet; the names of ``headers`` are in any case."""

    status: int
    headers: Mapping[str, str]

    async def whole(self, limit: int | None = None) -> bytes:
        """The body, of at most ``limit`` bytes, or those that its transport allows.

        Raises:
            FetchError: it is longer, or compressed.
            httpx.HTTPError: it was cut short.
        """
        ...

    async def head(self, size: int) -> bytes:
        """About the first ``size`` bytes; the rest is given up.

        Raises:
            FetchError, httpx.HTTPError: as :meth:`whole`.
        """
        ...


class Transport:
    """For one event loop; proxies come from the environment, but none stands before this machine.

    Without ``proxies`` none stands before anything.
    ``timeout`` in seconds is how long a silence may last, ``connect_timeout`` what a connection may
    take of it. ``max_bytes`` bounds each body that is read without a limit of its own. With
    ``reach``, nothing is connected to that it does not admit. ``trust`` says who vouches for
    servers; without one the machine does.
    """

    def __init__(
        self,
        *,
        timeout: float,
        connect_timeout: float = CONNECT_SECONDS,
        max_bytes: int = JSON_BYTES,
        reach: Reach | None = None,
        trust: ssl.SSLContext | None = None,
        proxies: bool = True,
    ) -> None:
        self._timeout = timeout
        self._connect_timeout = min(timeout, connect_timeout)
        self._max_bytes = max_bytes
        self._reach = reach
        self._trust = trust
        self._proxies = proxies

    def ask(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        headers: Mapping[str, str] = NOTHING,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Answer]:
        """Send a request; its answer can be read inside the context. No redirect is followed.

        Raises:
            httpx.HTTPError, httpx.InvalidURL: ``ConnectError`` and ``ConnectTimeout`` only when
                nothing was sent.
            FetchError: it leads to where nothing may be fetched.
        """
        return self._connections.ask(method, httpx.URL(url), headers, body)

    async def aclose(self) -> None:
        """Close the connections."""
        if "_connections" in vars(self):
            await self._connections.aclose()

    @cached_property
    def _connections(self) -> AiohttpTransport:
        from tts.http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 -- see above

        return AiohttpTransport(
            timeout=self._timeout,
            connect_timeout=self._connect_timeout,
            max_bytes=self._max_bytes,
            reach=self._reach,
            trust=self._trust,
            proxies=self._proxies,
        )
