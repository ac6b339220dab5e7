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
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import topology
from tts.queue.rabbitmq.consumer import Consumer, RabbitDelivery
from tts.queue.rabbitmq.publisher import Publisher

__all__ = ["RabbitMQ"]

HEARTBEAT_SECONDS = 10  # a silent peer is given up after about three of them


class RabbitMQ:
    """Publisher and consumer on one broker; connects when it is first needed.

    ``timeout`` (seconds) bounds every publication, connecting and confirmation included, and every
    attempt to set a consumer up.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        self._url = URL(url)
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=str(HEARTBEAT_SECONDS))
        self._timeout = timeout
        self._publisher = Publisher(self._url, timeout)
        self._consumers: set[Consumer] = set()

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`; many may be under way at once."""
        await self._publisher.publish(message)

    async def ready(self) -> dict[Destination, int]:
        """See :class:`tts.ports.queue.Publisher`."""
        depth = await self._publisher.depth()
        return {kind: depth[queue] for kind, queue in topology.QUEUES.items()}

    async def marked(self) -> bool:
        """See :class:`tts.ports.queue.Publisher`."""
        return await self._publisher.marked()

    async def mark(self) -> None:
        """See :class:`tts.ports.queue.Publisher`."""
        await self._publisher.mark()

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

    async def depth(self) -> dict[str, int]:
        """The messages that are ready in each queue but the waiting rooms.

        Raises:
            Unavailable: the broker does not answer.
        """
        return await self._publisher.depth()

    async def aclose(self) -> None:
        """Close the publishing connection; consumers end with their contexts."""
        await self._publisher.aclose()
