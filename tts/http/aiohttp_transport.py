"""httpx over aiohttp's connections: the same client and errors for a third of the CPU a request.

httpx's own transport parses HTTP in Python, and that was most of what a task cost us. The adapter
on PyPI (httpx-aiohttp) reports a connection that broke *after* the request as one that was never
made, which would make an ambiguous creation look safe to repeat; here the two are kept apart.

It is also where everything that comes from outside is bounded: no body is longer than its reader
said, and none is decompressed.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies

import aiohttp
import httpx
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.helpers import get_env_proxy_for_url
from aiohttp.tracing import Trace
from yarl import URL

from tts.http.errors import Coded, OutOfReach, TooLarge
from tts.http.reach import Reach, is_loopback, port
from tts.http.transport import MAX_BYTES

CHUNK_BYTES = 64 * 1024
AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(slots=True)
class _Journey:
    """Where the request under way leads; ``stopped`` if an address on it was refused."""

    host: str
    port: int
    proxied: bool
    stopped: bool = False


_JOURNEY: ContextVar[_Journey] = ContextVar("journey")


class AiohttpTransport(httpx.AsyncBaseTransport):
    """See :class:`tts.http.transport.Transport`."""

    def __init__(
        self, *, max_bytes: int, reach: Reach | None, trust: ssl.SSLContext | None
    ) -> None:
        self._max_bytes = max_bytes
        self._reach = reach
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None
        self._proxies = bool(getproxies())  # else the environment is read at every request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the body of the response is read as it is asked for."""
        seconds = request.extensions.get("timeout", {})
        url = URL(str(request.url), encoded=True)
        proxy = self._proxy(url)
        journey = self._judged(request.url, proxied=bool(proxy))
        _JOURNEY.set(journey)
        with _translated(request, journey):
            response = await self._opened().request(
                request.method,
                url,
                headers=_uncompressed(request.headers),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
                ),
                **proxy,
            )
        limit = request.extensions.get(MAX_BYTES, self._max_bytes)
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response, request, limit),
            request=request,
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _proxy(self, url: URL) -> dict[str, Any]:
        if not self._proxies or is_loopback(url.host or ""):
            return {}
        try:
            proxy, auth = get_env_proxy_for_url(url)
        except LookupError:
            return {}
        return {"proxy": proxy, "proxy_auth": auth}

    def _judged(self, url: httpx.URL, *, proxied: bool) -> _Journey:
        journey = _Journey(url.host, port(url), proxied)
        if self._reach is not None:
            self._reach.check(url)
            if proxied and not self._reach.admits_by_proxy(journey.host, journey.port):
                raise OutOfReach("its address is not public")
        return journey

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for an address that a name was resolved to a moment ago.

        Here and not before, because a name may be resolved otherwise the next time.
        """
        family, kind, protocol, _, target = address
        journey = _JOURNEY.get()
        if (
            self._reach is not None
            and not journey.proxied
            and not self._reach.admits(journey.host, journey.port, str(target[0]))
        ):
            journey.stopped = True
            raise OSError("this address is out of reach")
        return socket.socket(family, kind, protocol)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=_most(), socket_factory=self._socket, ssl=self._trust or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=AUTOMATIC_HEADERS,
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Takes the connection that was used last, so that those a burst has made are closed in time.

    aiohttp takes the one that has rested longest: while anything is asked for, it keeps them all.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        if waiting := self._conns.get(key):
            waiting.rotate(1)
        return await super()._get(key, traces)


def _most() -> int:
    """How many connections are made at a time: a small part of the files that may be open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(2, files // 32)


class _Body(httpx.AsyncByteStream):
    def __init__(
        self, response: aiohttp.ClientResponse, request: httpx.Request, limit: int | None
    ) -> None:
        self._response = response
        self._request = request
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        coding = self._response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise Coded("it is compressed, although nobody asked for that")
        declared = self._response.headers.get("Content-Length", "")
        size = 0
        self._bound(int(declared) if declared.isdigit() else 0)
        with _translated(self._request):
            async for chunk in self._response.content.iter_chunked(CHUNK_BYTES):
                size += len(chunk)
                self._bound(size)
                yield chunk

    def _bound(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise TooLarge(f"it has more than {self._limit} bytes")

    async def aclose(self) -> None:
        # A body that was not read to its end ends the connection.
        self._response.close() if not self._response.content.at_eof() else self._response.release()


def _uncompressed(headers: httpx.Headers) -> list[tuple[str, str]]:
    given = [item for item in headers.multi_items() if item[0].lower() != "accept-encoding"]
    return [*given, ("Accept-Encoding", "identity")]


@contextlib.contextmanager
def _translated(request: httpx.Request, journey: _Journey | None = None) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        if journey is not None and journey.stopped:
            raise OutOfReach("its address is not public") from error
        raise httpx.ConnectError(str(error), request=request) from error
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except aiohttp.InvalidURL as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(str(error) or type(error).__name__, request=request) from error
