"""What publishing and consuming share: connect, declare, close, and the vendor's errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from yarl import URL

from tts.ports.errors import Unavailable
from tts.queue.rabbitmq import topology

CLOSE_SECONDS = 3.0


@contextlib.asynccontextmanager
async def bounded(what: str, seconds: float) -> AsyncIterator[None]:
    """Give the block so long, and translate the vendor's errors.

    aiormq raises RuntimeError for what is closed, and CancelledError from calls that were under
    way when it closed; the latter must not look as if somebody had canceled us.

    Raises:
        Unavailable: the block failed or took too long (then the cause is a TimeoutError).
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"RabbitMQ: cannot {what}: nothing for {seconds} s") from error
    except (AMQPError, OSError, RuntimeError) as error:
        raise Unavailable(f"RabbitMQ: cannot {what}: {error!r}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"RabbitMQ: cannot {what}: the connection closed") from error


async def connect(url: URL, name: str) -> AbstractConnection:
    """Connect; the management page shows ``name``."""
    return await aio_pika.connect(url, client_properties={"connection_name": name})


async def declare(channel: AbstractChannel, queue: str) -> int:
    """Make sure that the queue exists; returns the number of ready messages in it."""
    arguments = topology.arguments(queue)
    declared = await channel.declare_queue(queue, durable=True, arguments={**arguments})
    return declared.declaration_result.message_count or 0


async def close(connection: AbstractConnection, *channels: AbstractChannel) -> None:
    """Close as far as it is still open, and return in any case.

    The channels go first: closing the connection throws away acks that are not written yet.
    """
    with contextlib.suppress(Unavailable):
        async with bounded("close", CLOSE_SECONDS):
            for channel in channels:
                await channel.close()
    with contextlib.suppress(Unavailable):
        async with bounded("close", CLOSE_SECONDS):
            await connection.close()
