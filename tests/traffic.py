"""Messages that are published and consumed without a pause, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from tests.waiting import until
from tts.ports.errors import Unavailable
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import RabbitMQ

SECONDS = 20  # until what was confirmed counts as lost


class Traffic:
    """Publishes numbered messages as the relay does, again until confirmed, while one consumes."""

    def __init__(self, queue: RabbitMQ) -> None:
        self.confirmed: set[int] = set()
        self.received: set[int] = set()
        self._queue = queue

    async def run(self) -> None:
        """Until canceled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._publish())
            both.create_task(self._consume())

    async def flows(self, seconds: float = SECONDS) -> float:
        """Wait until ten messages more were confirmed and all confirmed ones have arrived.

        Returns how many seconds that took.
        """
        began = time.monotonic()
        goal = len(self.confirmed) + 10

        async def reached() -> bool:
            return len(self.confirmed) >= goal and self.confirmed <= self.received

        await until(reached, "everything that was confirmed arrives", seconds)
        return time.monotonic() - began

    async def _publish(self) -> None:
        position = 0
        while True:
            message = Message(Destination.WORK, uuid4(), attempt=1, position=position)
            try:
                await self._queue.publish(message)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                self.confirmed.add(position)
                position += 1
                await asyncio.sleep(0.005)

    async def _consume(self) -> None:
        async with self._queue.deliveries(8) as deliveries:
            async for delivery in deliveries:
                self.received.add(delivery.message.position)
                await delivery.ack()
