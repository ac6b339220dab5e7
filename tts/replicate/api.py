"""Calls of Replicate's API, with what its own Python client knows, whose traps are closed off here.

Of that client (1.0.7) come the address and the headers with the token. All else is passed by: it
asks again behind our back, takes four times the CPU for a call, refuses the status ``aborted`` and
drops ``data_removed``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx
import orjson

from tts.http.errors import FetchError, TooLarge
from tts.http.transport import NOTHING, Answer, Transport
from tts.replicate.errors import refused, unreached, unreadable
from tts.replicate.remote_clock import RemoteClock

SUCCESSES = range(200, 300)


class Api:
    """One for each process and event loop; ``timeout`` in seconds bounds every call."""

    def __init__(
        self,
        *,
        token: str,
        base_url: str,
        timeout: float,
        now: Callable[[], datetime],
        trust: ssl.SSLContext | None,
    ) -> None:
        self.clock = RemoteClock(now)
        self._token = token
        self._base_url = base_url
        self._timeout = timeout
        self._transport = Transport(timeout=timeout, trust=trust)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def call(
        self,
        step: str,
        method: str,
        path: str,
        *,
        said: Iterable[str] = (),
        fine: Collection[int] = (),
        headers: Mapping[str, str] = NOTHING,
        body: bytes = b"",
        limit: int | None = None,
    ) -> dict[str, Any]:
        """The answer, empty for a refusal that is ``fine``; no error quotes what was ``said``.

        Raises:
            StepError: at that step.
            TooLarge: a page of the list has more than ``limit`` bytes.
        """
        try:
            asked = self.clock.now()
            async with (
                asyncio.timeout(self._timeout),
                self._transport.ask(
                    method, self._root + path, headers={**self._headers, **headers}, body=body
                ) as answer,
            ):
                if answer.status not in SUCCESSES:
                    if answer.status in fine:
                        return {}
                    reason = await _reason(answer)
                    raise refused(step, answer.status, answer.headers, reason, said)
                document = orjson.loads(await answer.whole(limit))
        except (httpx.HTTPError, TimeoutError) as error:
            raise unreached(step, error) from error
        except TooLarge as error:
            if step == "find":
                raise
            raise unreadable(step, str(error)) from error
        except FetchError as error:
            raise unreadable(step, str(error)) from error
        except orjson.JSONDecodeError as error:
            raise unreadable(step, "it is not JSON") from error
        if not isinstance(document, dict):
            raise unreadable(step, "it is no JSON object")
        self.clock.heard(answer.headers.get("date"), asked=asked)
        return document

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # It is loaded with the first call: a service that only starts need not wait for it.
        from replicate.client import Client  # noqa: PLC0415

        # Its own transport would take a moment to be made, and is of no use.
        idle = httpx.AsyncBaseTransport()
        client = Client(api_token=self._token, base_url=self._base_url, transport=idle)
        return client._async_client  # noqa: SLF001 -- nothing public tells what it sends

    @cached_property
    def _root(self) -> str:
        return str(self._client.base_url).rstrip("/")

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {name: self._client.headers[name] for name in ("Authorization", "User-Agent")}


async def _reason(answer: Answer) -> bytes:
    try:
        return await answer.whole()
    except FetchError:
        return b""  # the status says enough
