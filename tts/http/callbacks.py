"""Callbacks go where clients want them, within bounds, and never into our own network."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from tts.http.errors import FetchError, OutOfReach
from tts.http.fetch import retry_after
from tts.http.reach import Reach
from tts.http.transport import Transport
from tts.ports.callbacks import Reply, Undelivered

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class CallbackReach(Reach):
    """With ``hosts``: these and what is below them alone, wherever they are, by http as well.

    Without: any public address, by https.
    """

    def check(self, url: httpx.URL) -> None:
        """Judge an address by what it says, before anything is sent.

        Raises:
            OutOfReach: nothing may be sent there.
        """
        if url.scheme not in {"http", "https"} or not url.host:
            raise OutOfReach("its address is no http(s) URL")
        if url.userinfo:
            raise OutOfReach("its address carries credentials")
        if self.hosts and not self._is_listed(url.host):
            raise OutOfReach("its host is none of CALLBACK_HOSTS")
        if not self.hosts and url.scheme != "https":
            raise OutOfReach("its address is not https")
        if not self.admits_by_proxy(url.host, 0):
            raise OutOfReach("its address is not public")

    def admits(self, host: str, number: int, address: str) -> bool:
        """Whether a connection to ``address``, as ``host`` was resolved, may be made."""
        if self.hosts:
            return self._is_listed(host)
        return Reach.admits(self, host, number, address)


class HttpCallbackSender:
    """Implements CallbackSender of :mod:`tts.ports.callbacks`; ``reach`` says where it may go."""

    def __init__(self, reach: Reach, *, trust: ssl.SSLContext | None = None) -> None:
        self._transport = Transport(
            timeout=ANSWER_SECONDS, connect_timeout=CONNECT_SECONDS, reach=reach, trust=trust
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """See :class:`tts.ports.callbacks.CallbackSender`."""
        try:
            async with self._transport.ask("POST", url, headers=headers, body=body) as answer:
                return Reply(answer.status, retry_after(answer.headers))
        except FetchError as error:
            raise Undelivered(f"not sent: {error}") from error
        except httpx.TimeoutException as error:
            raise Undelivered("no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Undelivered(f"no answer: {type(error).__name__}") from error
