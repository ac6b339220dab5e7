"""Publishing with confirmation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, DeliveryMode
from aio_pika.exceptions import PublishError

from tts.ports.errors import Unavailable
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import codec, topology
from tts.queue.rabbitmq.connection import Brokers, close
from tts.queue.rabbitmq.errors import bounded
from tts.queue.rabbitmq.mark import make_mark, mark_exists
from tts.queue.rabbitmq.queues import declare

FAILED_SECONDS = 10.0  # a failed publication is tried again sooner, or given up


class Publisher:
    """Publishes on one connection, which is replaced by the first call that finds it closed."""

    def __init__(self, url: str, timeout: float) -> None:
        self._brokers = Brokers(url, timeout)
        self._timeout = timeout
        self._link: _Link | None = None
        self._linking = asyncio.Lock()
        self._unmarked: _Link | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._failure: tuple[Unavailable, float] | None = None

    async def publish(self, message: Message) -> None:
        """See :class:`tts.ports.queue.Publisher`; many may be under way at once."""
        queue = topology.QUEUES[message.destination]
        if message.destination is Destination.RETRY:
            queue = topology.retry_room(message.delay)
        try:
            async with self._using("publish") as link:
                await link.publish(queue, _outgoing(message))
        except Unavailable as error:
            self._failure = error, time.monotonic()
            raise
        self._failure = None

    async def probe(self) -> None:
        """Have a message confirmed that goes nowhere.

        Raises:
            Unavailable: the broker does not confirm it, or did not confirm the newest publication.
        """
        if self._failure is not None:
            error, when = self._failure
            if time.monotonic() - when < FAILED_SECONDS:
                raise Unavailable(str(error), public=error.public)
        async with self._using("publish") as link:
            await link.publish(topology.PROBE, aio_pika.Message(b""))

    async def ready(self) -> dict[Destination, int]:
        """See :class:`tts.ports.queue.Publisher`."""
        depth = await self.depth()
        return {kind: depth[queue] for kind, queue in topology.QUEUES.items()}

    async def depth(self) -> dict[str, int]:
        """The messages that are ready in each queue but the waiting rooms.

        Raises:
            Unavailable: the broker does not answer.
        """
        async with self._using("count messages") as link:
            return (await declare(link.connection, topology.FIXED)).ready

    @property
    def notes(self) -> Sequence[str]:
        """What an operator should mend although messages pass."""
        return list(self._link.notes.values()) if self._link is not None else []

    async def marked(self) -> bool:
        """See :class:`tts.ports.queue.Publisher`."""
        async with self._using("look for the relay's mark") as link:
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

    @asynccontextmanager
    async def _using(self, what: str) -> AsyncIterator[_Link]:
        """The link, which is given up if anything goes wrong with it.

        A channel that has published to a quorum queue before another of its nodes became the leader
        may be refused every message until the old leader is back, while a new one is served.
        """
        link = None
        try:
            async with bounded(what, self._timeout):
                link = await self._open()
                yield link
        except Unavailable:
            if link is not None:
                self._drop(link)
            raise

    async def _open(self) -> _Link:
        if self._link is not None and not self._link.channel.is_closed:
            return self._link
        async with self._linking:
            if self._link is not None and self._link.channel.is_closed:
                self._drop(self._link)
            if self._link is None:
                connection = await self._brokers.connect("tts publisher")
                try:
                    self._link = await _Link.open(connection)
                except BaseException:
                    self._close(connection)
                    raise
            return self._link

    def _drop(self, link: _Link) -> None:
        if self._link is link:
            self._link = None
            self._close(link.connection, link.channel)

    def _close(self, connection: AbstractConnection, *channels: AbstractChannel) -> None:
        closing = asyncio.create_task(close(connection, *channels))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


class _Link:
    """One life of the connection, and the queues that were declared in it."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.connection = connection
        self.channel = channel
        self.marked = False
        self.notes: dict[str, str] = {}
        self._declared: set[str] = set()
        self._declaring = asyncio.Lock()

    @classmethod
    async def open(cls, connection: AbstractConnection) -> _Link:
        link = cls(connection, await connection.channel(on_return_raises=True))
        # Now and not when it is needed: while a node hangs, new queues cannot be declared.
        await link._declare(*topology.FIXED, topology.PROBE)
        return link

    async def publish(self, queue: str, message: aio_pika.Message) -> None:
        """Publish and wait for the confirmation; a queue that was deleted is declared again."""
        await self._ensure(queue)
        try:
            await self._publish(queue, message)
        except PublishError:
            self._declared.discard(queue)
            await self._ensure(queue)
            await self._publish(queue, message)

    async def _ensure(self, queue: str) -> None:
        if queue not in self._declared:
            async with self._declaring:
                if queue not in self._declared:
                    await self._declare(queue)

    async def _declare(self, *queues: str) -> None:
        self.notes |= (await declare(self.connection, queues)).notes
        self._declared.update(queues)

    async def _publish(self, queue: str, message: aio_pika.Message) -> None:
        await self.channel.default_exchange.publish(message, queue, mandatory=True)


def _outgoing(message: Message) -> aio_pika.Message:
    return aio_pika.Message(
        codec.encode(message),
        headers=dict(message.headers),
        content_type=codec.CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=codec.message_id(message),
        timestamp=datetime.now(UTC),
    )
