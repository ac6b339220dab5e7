"""HTTP by aiohttp, which parses it in C: a quarter of the CPU a request that httpx takes.

What connects and reads for httpx is Python, and that was most of what a task cost us. Its errors
and its URLs serve here all the same: unlike aiohttp's, they tell a connection that was never made
from one that broke after the request, which must not be sent again.

It is also where everything that comes from outside is bounded: no body is longer than its reader
said, and none is decompressed.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
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

HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "tts-backend"}


@dataclass(slots=True)
class _Journey:
    """Where the request under way leads; ``stopped`` if an address on it was refused."""

    host: str
    port: int
    proxied: bool
    stopped: bool = False


_JOURNEY: ContextVar[_Journey] = ContextVar("journey")


class AiohttpTransport:
    """See :class:`tts.http.transport.Transport`."""

    def __init__(
        self,
        *,
        timeout: float,
        connect_timeout: float,
        max_bytes: int,
        reach: Reach | None,
        trust: ssl.SSLContext | None,
        proxies: bool,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_timeout, sock_read=timeout)
        self._max_bytes = max_bytes
        self._reach = reach
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None
        # Else the environment is read at every request.
        self._proxies = proxies and bool(getproxies())

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, address: httpx.URL, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[AiohttpAnswer]:
        """See :meth:`tts.http.transport.Transport.ask`."""
        url = URL(str(address), encoded=True)
        proxy = self._proxy(url)
        journey = self._judged(address, proxied=bool(proxy))
        _JOURNEY.set(journey)
        with _translated(journey):
            response = await self._opened().request(
                method,
                url,
                headers=headers,
                data=body or None,
                allow_redirects=False,
                **proxy,
            )
        try:
            yield AiohttpAnswer(response, self._max_bytes)
        finally:
            # A body that was not read to its end ends the connection.
            response.release() if response.content.at_eof() else response.close()

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
                headers=HEADERS,
                skip_auto_headers=("Content-Type",),
                timeout=self._timeout,
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


class AiohttpAnswer:
    """See :class:`tts.http.transport.Answer`; ``most`` bytes are read where no limit is given."""

    def __init__(self, response: aiohttp.ClientResponse, most: int) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content
        self._most = most

    async def whole(self, limit: int | None = None) -> bytes:
        """See :class:`tts.http.transport.Answer`."""
        limit = self._most if limit is None else limit
        declared = self.headers.get("Content-Length", "")
        size = int(declared) if declared.isdigit() else 0
        parts: list[bytes] = []
        if size <= limit:
            size = 0
            async for part in self._parts():
                parts.append(part)
                if (size := size + len(part)) > limit:
                    break
        if size > limit:
            raise TooLarge(f"it has more than {limit} bytes")
        return b"".join(parts)

    async def head(self, size: int) -> bytes:
        """See :class:`tts.http.transport.Answer`."""
        head = b""
        async for part in self._parts():
            head += part
            if len(head) >= size:
                break
        return head

    async def _parts(self) -> AsyncIterator[bytes]:
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise Coded("it is compressed, although nobody asked for that")
        with _translated():
            while part := await self._content.readany():
                yield part


@contextlib.contextmanager
def _translated(journey: _Journey | None = None) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        if journey is not None and journey.stopped:
            raise OutOfReach("its address is not public") from error
        raise httpx.ConnectError(str(error)) from error
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.InvalidURL as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(str(error) or type(error).__name__) from error
