"""Sending webhooks: signed as Replicate signs, the final one again until it is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable
from functools import cached_property, partial

import httpx

from tts.sandbox.behaviour import Behaviour
from tts.sandbox.predictions import Prediction
from tts.sandbox.stats import Stats
from tts.sandbox.webhook_plan import Delivery, plan

RETRIES = 6
TIMEOUT_SECONDS = 10.0
CONNECTIONS = 50

Render = Callable[[Prediction, float], Awaitable[bytes]]


class Webhooks:
    """One timer per webhook that is still to be sent; nothing for predictions without one."""

    def __init__(
        self, *, secret: str, render: Render, behaviour: Callable[[], Behaviour], stats: Stats
    ) -> None:
        self._secret = secret
        self._render = render
        self._behaviour = behaviour
        self._stats = stats
        self._timers: dict[str, dict[int, asyncio.TimerHandle]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def schedule(self, prediction: Prediction, now: float) -> None:
        """Send what lies ahead; called again when the course changed, which drops the old plan."""
        for timer in self._timers.pop(prediction.id, {}).values():
            timer.cancel()
        if prediction.webhook is None:
            return
        loop = asyncio.get_running_loop()
        timers = {
            number: loop.call_later(delivery.at - now, self._start, prediction, delivery, number)
            for number, delivery in enumerate(plan(prediction))
            if delivery.at >= now
        }
        if timers:
            self._timers[prediction.id] = timers

    def resume(self, prediction: Prediction, now: float) -> None:
        """After a restart: what lies ahead, and the final webhook if it may not have arrived."""
        # Whether it did is not known. Duplicates are part of the contract, a silence is not.
        retrying = self._behaviour().webhook_retry_seconds * 2**RETRIES
        recent = now - retrying < prediction.ends_at <= now
        self.schedule(prediction, prediction.ends_at if recent else now)

    async def close(self) -> None:
        """Send nothing more."""
        for timers in self._timers.values():
            for timer in timers.values():
                timer.cancel()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if "_client" in vars(self):
            await self._client.aclose()

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # For the first webhook: it reads all authorities of the machine, and many need none. As
        # Replicate it follows no redirect; a proxy of this machine has no business here.
        return httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            trust_env=False,
        )

    def _start(self, prediction: Prediction, delivery: Delivery, number: int) -> None:
        timers = self._timers[prediction.id]
        del timers[number]
        if not timers:
            del self._timers[prediction.id]
        task = asyncio.create_task(self._send(prediction, delivery))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, prediction: Prediction, delivery: Delivery) -> None:
        body = await self._render(prediction, delivery.seen_at)
        message_id = f"msg_{base64.b32encode(os.urandom(15)).decode()}"
        post = partial(self._post, str(prediction.webhook), message_id, body, delivery)
        for attempt in range(RETRIES + 1 if delivery.final else 1):
            if attempt:
                pause = self._behaviour().webhook_retry_seconds
                await asyncio.sleep(pause * 2 ** (attempt - 1))
            if await post():
                self._stats.webhook("delivered")
                return
            self._stats.webhook("refused")
        self._stats.webhook("given_up")

    async def _post(self, url: str, message_id: str, body: bytes, delivery: Delivery) -> bool:
        timestamp = str(int(time.time()))
        secret = self._secret if delivery.signed else f"whsec_{_b64(b'somebody else')}"
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(secret, message_id, timestamp, body),
        }
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return response.is_success


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the base64 of the HMAC-SHA256 of ``{id}.{timestamp}.{body}``."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{_b64(hmac.digest(key, signed, hashlib.sha256))}"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
