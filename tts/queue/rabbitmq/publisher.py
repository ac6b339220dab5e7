"""Publishing with confirmation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, DeliveryMode
from aio_pika.exceptions import PublishError
from yarl import URL

from tts.ports.errors import Unavailable
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import codec, topology
from tts.queue.rabbitmq.connection import bounded, close, connect, declare
from tts.queue.rabbitmq.mark import make_mark, mark_exists


class Publisher:
    """Publishes on one connection, which is replaced by the first call that finds it closed."""

    def __init__(self, url: URL, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._link: _Link | None = None
        self._linking = asyncio.Lock()
        self._unmarked: _Link | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`; many may be under way at once."""
        queue = topology.QUEUES[message.destination]
        if message.destination is Destination.RETRY:
            queue = topology.retry_room(message.delay)
        link = None
        try:
            async with bounded("publish", self._timeout):
                link = await self._open()
                await link.publish(queue, message)
        except Unavailable as error:
            # A confirmation that never comes says nothing good about the connection, and what is
            # published again and again on a blocked one would pile up in it.
            if link is not None and isinstance(error.__cause__, TimeoutError):
                self._drop(link)
            raise

    async def ready(self) -> dict[Destination, int]:
        """See :class:`tts.ports.queue.Publisher`."""
        depth = await self.depth()
        return {kind: depth[queue] for kind, queue in topology.QUEUES.items()}

    async def depth(self) -> dict[str, int]:
        """The messages that are ready in each queue but the waiting rooms.

        Raises:
            Unavailable: the broker does not answer.
        """
        async with bounded("count messages", self._timeout):
            link = await self._open()
            return {queue: await declare(link.channel, queue) for queue in topology.FIXED}

    async def marked(self) -> bool:
        """See :class:`tts.ports.queue.Publisher`."""
        async with bounded("look for the relay's mark", self._timeout):
            link = await self._open()
            if not link.marked:
                link.marked = await mark_exists(link.connection)
            if not link.marked:
                self._unmarked = link
            return link.marked

    async def mark(self) -> None:
        """See :class:`tts.ports.queue.Publisher`."""
        link = self._unmarked
        if link is None or link is not self._link or link.channel.is_closed:
            # What was published before the connection broke may be gone, together with the data.
            raise Unavailable("RabbitMQ: not the connection on which the mark was missing")
        async with bounded("leave the relay's mark", self._timeout):
            await make_mark(link.connection)
            link.marked = True

    async def aclose(self) -> None:
        """Close the publishing connection; consumers end with their contexts."""
        if self._link is not None:
            self._drop(self._link)
        await asyncio.gather(*self._closing)

    async def _open(self) -> _Link:
        if self._link is not None and not self._link.channel.is_closed:
            return self._link
        async with self._linking:
            if self._link is not None and self._link.channel.is_closed:
                self._drop(self._link)
            if self._link is None:
                self._link = await _Link.open(await connect(self._url, "tts publisher"))
            return self._link

    def _drop(self, link: _Link) -> None:
        if self._link is link:
            self._link = None
            closing = asyncio.create_task(close(link.connection, link.channel))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _Link:
    """One life of the connection, and the queues that were declared in it."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.connection = connection
        self.channel = channel
        self.marked = False
        self._declared: set[str] = set()
        self._declaring = asyncio.Lock()

    @classmethod
    async def open(cls, connection: AbstractConnection) -> _Link:
        try:
            link = cls(connection, await connection.channel(on_return_raises=True))
            for queue in topology.FIXED:
                await link.ensure(queue)
        except BaseException:
            await close(connection)
            raise
        return link

    async def ensure(self, queue: str) -> None:
        if queue not in self._declared:
            async with self._declaring:
                if queue not in self._declared:
                    await declare(self.channel, queue)
                    self._declared.add(queue)

    async def publish(self, queue: str, message: Message) -> None:
        """Publish and wait for the confirmation; a queue that was deleted is declared again."""
        await self.ensure(queue)
        try:
            await self._publish(queue, message)
        except PublishError:
            self._declared.discard(queue)
            await self.ensure(queue)
            await self._publish(queue, message)

    async def _publish(self, queue: str, message: Message) -> None:
        await self.channel.default_exchange.publish(
            aio_pika.Message(
                codec.encode(message),
                headers=dict(message.headers),
                content_type=codec.CONTENT_TYPE,
                delivery_mode=DeliveryMode.PERSISTENT,
                message_id=codec.message_id(message),
                timestamp=datetime.now(UTC),
            ),
            queue,
            mandatory=True,
        )
