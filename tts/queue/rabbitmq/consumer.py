"""Consuming: one connection after the other, for as long as somebody takes deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from tts.patience import Outage
from tts.ports.errors import Unavailable
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import codec, topology
from tts.queue.rabbitmq.connection import CLOSE_SECONDS, Brokers, close
from tts.queue.rabbitmq.errors import bounded, words
from tts.queue.rabbitmq.queues import declare

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel
    from aiormq.abc import AbstractChannel as RawChannel
    from aiormq.abc import DeliveredMessage

logger = logging.getLogger(__name__)


class Consumer:
    """Takes from both queues, at most ``limit`` unsettled messages of each."""

    def __init__(self, url: str, timeout: float, limit: int) -> None:
        self._trouble: Unavailable | None = Unavailable("RabbitMQ: not consuming yet")
        self._brokers = Brokers(url, timeout)
        self._timeout = timeout
        self._limit = limit
        self._outage = Outage("Consuming is interrupted")
        self._inbox: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()

    def check(self) -> None:
        """Return if it consumes.

        Raises:
            Unavailable: it does not; why its connection ended or there is none.
        """
        if self._trouble is not None:
            raise Unavailable(str(self._trouble), public=self._trouble.public)

    async def run(self) -> None:
        """Stay connected until canceled."""
        try:
            await self._outage.wait_out(self._live)
        finally:
            # Should this end by a defect of ours, it must be heard: see take().
            self._inbox.put_nowait(None)

    async def take(self, running: asyncio.Task[None]) -> AsyncIterator[RabbitDelivery]:
        """The deliveries of ``run()``, whose task is ``running``; ends when it does."""
        while (delivery := await self._inbox.get()) is not None:
            if not delivery.stale:
                yield delivery
        await running

    async def _live(self) -> NoReturn:
        """One life of a connection: until something about it breaks, which is raised."""
        life = _Life()
        channels: list[AbstractChannel] = []
        connection = None
        try:
            async with bounded("consume", self._timeout):
                connection = await self._brokers.connect("tts consumer")
                await declare(connection, topology.FIXED)
                for kind in (Destination.RETRY, Destination.WORK):
                    channel = await connection.channel(publisher_confirms=False)
                    channels.append(channel)
                    await self._subscribe(channel, kind, life)
            self._trouble = None
            self._outage.over()
            logger.info("Consuming")
            ended = Unavailable(f"RabbitMQ: {await life.over}")
            raise ended
        except Unavailable as error:
            self._trouble = error
            raise
        finally:
            life.end("closed")
            if connection is not None:
                await close(connection, *channels)

    async def _subscribe(self, channel: AbstractChannel, kind: Destination, life: _Life) -> None:
        await channel.set_qos(prefetch_count=self._limit)
        # The channel below aio-pika's: it tells of a consumer that the broker canceled, and it
        # saves a task and an object for each message.
        raw = await channel.get_underlay_channel()
        raw.closing.add_done_callback(lambda closing: life.end(f"closed: {_reason(closing)}"))
        raw.on_consumer_cancel_callbacks.add(lambda _: life.end(f"{kind} consumer canceled"))
        await raw.basic_consume(topology.QUEUES[kind], partial(self._receive, kind, life))

    async def _receive(self, kind: Destination, life: _Life, delivered: DeliveredMessage) -> None:
        deliver: Any = delivered.delivery
        headers = delivered.header.properties.headers or {}
        try:
            message = codec.decode(delivered.body, headers, kind)
        except ValueError as error:
            queue = topology.QUEUES[kind]
            logger.error("A message in %s becomes a dead letter: %s", queue, error)  # noqa: TRY400
            await self._reject(delivered, life)
            return
        self._inbox.put_nowait(
            RabbitDelivery(
                message,
                redelivered=deliver.redelivered,
                tag=deliver.delivery_tag,
                channel=delivered.channel,
                life=life,
            )
        )

    async def _reject(self, delivered: DeliveredMessage, life: _Life) -> None:
        deliver: Any = delivered.delivery
        try:
            async with bounded("reject", CLOSE_SECONDS):
                await delivered.channel.basic_reject(deliver.delivery_tag, requeue=False)
        except Unavailable as error:
            life.end(str(error))


class RabbitDelivery:
    """See :class:`tts.ports.queue.Delivery`.

    If the connection that it came by is gone, ``ack`` and ``release`` return quietly: the broker
    has taken the message back, and it comes again.
    """

    def __init__(
        self, message: Message, *, redelivered: bool, tag: int, channel: RawChannel, life: _Life
    ) -> None:
        self.message = message
        self.redelivered = redelivered
        self._tag = tag
        self._channel = channel
        self._life = life

    @property
    def stale(self) -> bool:
        """Whether the broker has taken the message back."""
        return self._life.over.done()

    async def ack(self) -> None:
        """Forget the message."""
        async with self._settling():
            await self._channel.basic_ack(self._tag, wait=False)

    async def release(self) -> None:
        """Give the message back."""
        async with self._settling():
            await self._channel.basic_reject(self._tag, requeue=True, wait=False)

    @contextlib.asynccontextmanager
    async def _settling(self) -> AsyncIterator[None]:
        try:
            async with bounded("settle", CLOSE_SECONDS):
                yield
        except Unavailable as error:
            # Were the channel still alive, the message would stay unsettled on it for ever.
            self._life.end(str(error))


class _Life:
    """How long the messages of one connection can be settled; ``over`` holds why no longer."""

    def __init__(self) -> None:
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(reason)


def _reason(closing: asyncio.Future[None]) -> str:
    error = None if closing.cancelled() else closing.exception()
    return "canceled" if error is None else words(error)
