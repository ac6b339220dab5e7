"""Makes our queues anew where queues of their names were declared otherwise; no message is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from tts.ports.errors import Unavailable
from tts.ports.queue import Destination
from tts.queue.rabbitmq import codec, topology
from tts.queue.rabbitmq.connection import Brokers, close
from tts.queue.rabbitmq.errors import bounded, translated, words

STEP_SECONDS = 30.0
KEPT = "{}.old"  # where the messages of a queue lie while it is made anew


@dataclass(frozen=True)
class Moved:
    """What was done about a queue.

    ``reason`` is why it was made anew (empty: it was as it should be), ``ours`` how many messages
    of this service are in it again, ``left`` how many others are left in ``kept``.
    """

    queue: str
    reason: str
    ours: int
    left: int

    @property
    def kept(self) -> str:
        """The queue of what is left."""
        return KEPT.format(self.queue)


async def migrate(url: str) -> list[Moved]:
    """Have each of our queues be as it should be; the messages of others are kept beside them.

    It may be broken off and begun again: then a message can be there twice, which is noticed.

    Raises:
        Unavailable: the broker does not answer, or a queue is still in use.
    """
    connection = await Brokers(url, STEP_SECONDS).connect("tts migrate")
    try:
        return [await _migrate(connection, queue) for queue in topology.FIXED]
    finally:
        await close(connection)


async def _migrate(connection: AbstractConnection, queue: str) -> Moved:
    reason = await _difference(connection, queue)
    kept = KEPT.format(queue)
    if reason:
        async with _channel(connection, f"make {queue} anew") as channel:
            await channel.queue_declare(kept, durable=True, arguments={"x-queue-type": "quorum"})
            while (message := await _next(channel, queue)) is not None:
                await _move(channel, message, kept)
        await _delete(connection, queue)
        await _difference(connection, queue)
    ours, left = await _restore(connection, kept, queue)
    return Moved(queue, reason, ours, left)


async def _difference(connection: AbstractConnection, queue: str) -> str:
    """Declare the queue; why that is refused, or nothing."""
    try:
        async with _channel(connection, f"declare {queue}") as channel:
            await channel.queue_declare(
                queue, durable=True, arguments={**topology.arguments(queue)}
            )
    except Unavailable as error:
        if isinstance(error.__cause__, ChannelPreconditionFailed):
            return words(error.__cause__)
        raise
    return ""


async def _restore(connection: AbstractConnection, kept: str, queue: str) -> tuple[int, int]:
    """Move our messages back into the queue; how many there were, and how many others are left."""
    ours = left = 0
    try:
        async with _channel(connection, f"look into {kept}") as channel:
            await channel.queue_declare(kept, passive=True)
            # Those of others stay unsettled, and are back where they were when the channel closes.
            while (message := await _next(channel, kept)) is not None:
                if _is_ours(message):
                    await _move(channel, message, queue)
                    ours += 1
                else:
                    left += 1
    except Unavailable as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            return 0, 0
        raise
    if not left:
        await _delete(connection, kept)
    return ours, left


async def _delete(connection: AbstractConnection, queue: str) -> None:
    """Delete a queue; it is looked at first, for of a quorum queue `if-empty` cannot be asked."""
    async with _channel(connection, f"delete {queue}") as channel:
        found = await channel.queue_declare(queue, passive=True)
        if found.message_count or found.consumer_count:
            raise Unavailable(
                f"{queue} is still in use: stop relay and processors, and whatever else uses the "
                f"queue, and run this again (what was in it is in {KEPT.format(queue)})"
            )
        await channel.queue_delete(queue)


async def _next(channel: AbstractChannel, queue: str) -> DeliveredMessage | None:
    async with bounded(f"read {queue}", STEP_SECONDS):
        message = await channel.basic_get(queue)
    return None if isinstance(message.delivery, Basic.GetEmpty) else message


async def _move(channel: AbstractChannel, message: DeliveredMessage, queue: str) -> None:
    properties = message.header.properties
    properties.expiration = None  # or it would end in the place where it is kept
    properties.delivery_mode = 2
    async with bounded(f"move a message to {queue}", STEP_SECONDS):
        await channel.basic_publish(
            message.body, routing_key=queue, properties=properties, mandatory=True
        )
        await channel.basic_ack(message.delivery_tag or 0)


def _is_ours(message: DeliveredMessage) -> bool:
    try:
        codec.decode(message.body, message.header.properties.headers or {}, Destination.WORK)
    except ValueError:
        return False
    return True


@asynccontextmanager
async def _channel(connection: AbstractConnection, what: str) -> AsyncIterator[AbstractChannel]:
    """A channel for one thing, which a refusal closes."""
    async with bounded(what, STEP_SECONDS):
        channel = await connection.channel(on_return_raises=True)
    with translated(what):
        yield await channel.get_underlay_channel()
        await channel.close()
