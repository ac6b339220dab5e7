"""The mark that the relay leaves on a broker; where it is missing, the broker lost its data.

Queues prove nothing, for processors declare them as well. It is an exchange that routes nothing,
because unlike a queue that costs the broker nothing, and it is as durable as the queues are.
"""

from __future__ import annotations

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

NAME = "tts_relay_mark"


async def mark_exists(connection: AbstractConnection) -> bool:
    """Whether it is there; asked on a channel of its own, which a missing one closes."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        await channel.get_exchange(NAME, ensure=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def make_mark(connection: AbstractConnection) -> None:
    """Declare it."""
    channel = await connection.channel(publisher_confirms=False)
    await channel.declare_exchange(NAME, ExchangeType.FANOUT, durable=True, internal=True)
    await channel.close()
