"""RabbitMQ as the queue: confirmed publishing, and consuming that never goes deaf.

aio-pika's robust connection restores consumers in ways that were seen to leave them dead (its
issues 231, 334, 632). Here a connection has one life: whatever breaks it, a channel or a consumer
of it ends all of it, and a new one is built from nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tts.queue.rabbitmq.consumer import Consumer, RabbitDelivery
from tts.queue.rabbitmq.publisher import Publisher

__all__ = ["RabbitMQ"]


class RabbitMQ(Publisher):
    """Publisher and consumer on one broker, of one or several hosts; connects when it is needed.

    ``timeout`` (seconds) bounds every publication, connecting and confirmation included, and every
    attempt to set a consumer up.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        super().__init__(url, timeout)
        self._url = url
        self._consumers: set[Consumer] = set()

    @contextlib.asynccontextmanager
    async def deliveries(self, limit: int) -> AsyncIterator[AsyncIterator[RabbitDelivery]]:
        """See :class:`tts.ports.queue.Consumer`."""
        consumer = Consumer(self._url, self._timeout, limit)
        self._consumers.add(consumer)
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer.take(running)
        finally:
            self._consumers.discard(consumer)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def healthy(self) -> None:
        """Return if the broker confirms messages and every consumer of this object is connected.

        Raises:
            Unavailable: it does not, or one is not.
        """
        for consumer in self._consumers:
            consumer.check()
        await self.probe()
