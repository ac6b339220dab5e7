"""Declaring queues, also where queues of that name exist that were declared otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed

from tts.ports.errors import Unavailable
from tts.queue.rabbitmq import topology
from tts.queue.rabbitmq.errors import words

_INEQUIVALENT = re.compile(r"inequivalent arg '([^']+)'.* current is '([^']*)'")
MEND = "stop relay and processors and run `tts migrate rabbitmq`"


@dataclass
class Declared:
    """What the broker says of the queues: the ready messages of each, and what is not as it should.

    ``notes`` are sentences, by queue.
    """

    ready: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


async def declare(connection: AbstractConnection, queues: Iterable[str]) -> Declared:
    """Make sure that the queues exist, on a channel of its own, which a refusal closes.

    A queue of an earlier version may have another delivery limit: it is used as it is.

    Raises:
        Unavailable: a queue exists that cannot be used; it says why, and what mends it.
    """
    declared = Declared()
    channel = await _open(connection)
    for queue in queues:
        try:
            declared.ready[queue] = await _declare(channel, queue, passive=False)
        except ChannelPreconditionFailed as error:
            declared.notes[queue] = _tolerated(queue, error)
            channel = await _open(connection)
            declared.ready[queue] = await _declare(channel, queue, passive=True)
    await channel.close()
    return declared


def _tolerated(queue: str, error: ChannelPreconditionFailed) -> str:
    reason = words(error)
    argument, current = difference(error)
    if argument != topology.DELIVERY_LIMIT:
        text = f"RabbitMQ: {queue} is not the queue that this service needs: {reason}; {MEND}"
        raise Unavailable(text, public=text) from error
    return (
        f"RabbitMQ: {queue} gives up a message after {current or 'no number of'} returns instead "
        f"of {topology.arguments(queue)[topology.DELIVERY_LIMIT]}: set a policy, or {MEND}"
    )


def difference(error: ChannelPreconditionFailed) -> tuple[str, str]:
    """The argument in which the queue that exists differs, and its value; empty if not said."""
    found = _INEQUIVALENT.search(words(error))
    return (found[1], found[2]) if found else ("", "")


async def _open(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(publisher_confirms=False)


async def _declare(channel: AbstractChannel, queue: str, *, passive: bool) -> int:
    declared = await channel.declare_queue(
        queue, durable=True, passive=passive, arguments={**topology.arguments(queue)}
    )
    return declared.declaration_result.message_count or 0
