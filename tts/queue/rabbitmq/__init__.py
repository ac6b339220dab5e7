"""RabbitMQ as the queue: confirmed publishing, and consuming that never goes deaf.

aio-pika's robust connection restores consumers in ways that were seen to leave them dead (its
issues 231, 334, 632). Here a connection has one life: whatever breaks it, a channel or a consumer
of it ends all of it, and a new one is built from nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from yarl import URL

from tts.ports.errors import Unavailable
from tts.queue.rabbitmq.consumer import Consumer, RabbitDelivery
from tts.queue.rabbitmq.publisher import Publisher

__all__ = ["RabbitMQ"]

HEARTBEAT_SECONDS = 10  # a silent peer is given up after about three of them


class RabbitMQ(Publisher):
    """Publisher and consumer on one broker; connects when it is first needed.

    ``timeout`` (seconds) bounds every publication, connecting and confirmation included, and every
    attempt to set a consumer up.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        broker = URL(url)
        if "heartbeat" not in broker.query:
            broker = broker.update_query(heartbeat=str(HEARTBEAT_SECONDS))
        super().__init__(broker, timeout)
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
        """Return if the broker answers and every consumer of this object has its connection.

        Raises:
            Unavailable: it does not, or one has not.
        """
        if not all(consumer.consuming for consumer in self._consumers):
            raise Unavailable("RabbitMQ: not consuming, reconnecting")
        await self.depth()
