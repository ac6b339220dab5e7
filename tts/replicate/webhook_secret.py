"""What Replicate signs its webhooks with."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx
import orjson

from tts.http.errors import FetchError
from tts.http.signing_key import signing_key
from tts.http.transport import Transport
from tts.ports.errors import Unavailable

logger = logging.getLogger(__name__)

PATH = "/v1/webhooks/default/secret"
SECRET_BYTES = 10_000  # of the answer, at most
FRESH_SECONDS = 3600.0  # a secret that was changed at Replicate is noticed by then
PAUSE_SECONDS = 2.0  # after a failure nobody asks again for so long


class GivenSecret:
    """A secret from the settings."""

    def __init__(self, text: str) -> None:
        self._key = signing_key(text)

    async def key(self) -> bytes:
        """The key."""
        return self._key


class AccountSecret:
    """The account's secret, which Replicate tells who has its token; asked for when needed.

    For one event loop. ``timeout`` in seconds bounds a call.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: str,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        self._url = base_url.rstrip("/") + PATH
        self._headers = {"Authorization": f"Bearer {token}"}
        self._transport = Transport(timeout=timeout, trust=trust)
        self._asking = asyncio.Lock()
        self._key: bytes | None = None
        self._ask_at = clock()
        self._failure = ""

    async def key(self) -> bytes:
        """The key, asked for anew when it is old; while that fails, the old one serves.

        Raises:
            Unavailable: Replicate does not tell, and never did.
        """
        async with self._asking:  # one call, however many wait for it
            if self._clock() >= self._ask_at:
                await self._ask()
        if self._key is None:
            raise Unavailable(f"the secret of webhooks is not known: {self._failure}")
        return self._key

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _ask(self) -> None:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._transport.ask("GET", self._url, headers=self._headers) as answer,
            ):
                if answer.status != HTTPStatus.OK:
                    self._failed(f"Replicate answered {answer.status}")
                    return
                self._key = signing_key(orjson.loads(await answer.whole(SECRET_BYTES))["key"])
        except (httpx.HTTPError, TimeoutError) as error:
            self._failed(f"Replicate did not answer: {type(error).__name__}")
        except (FetchError, ValueError, LookupError, TypeError):
            self._failed("Replicate's answer has no key")
        else:
            self._ask_at = self._clock() + FRESH_SECONDS

    def _failed(self, why: str) -> None:
        logger.warning("The secret of webhooks cannot be had: %s", why)
        self._failure = why
        self._ask_at = self._clock() + PAUSE_SECONDS
