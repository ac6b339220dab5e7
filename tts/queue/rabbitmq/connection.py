"""What publishing and consuming share: connect to one of the hosts, and close."""

from __future__ import annotations

import contextlib
import random
from collections import deque

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, ConnectionParameter
from yarl import URL

from tts.ports.errors import Unavailable
from tts.queue.rabbitmq.errors import bounded
from tts.queue.rabbitmq.hosts import hosts
from tts.queue.rabbitmq.transport import Transport

CLOSE_SECONDS = 2.0


class Brokers:
    """The hosts of one broker. Every connection goes to the next one, at first to any of them.

    So whatever is wrong with a node, the connection after the one that met it is with another.
    ``timeout`` (seconds) is what an attempt may take, shared by the hosts.
    """

    def __init__(self, url: str, timeout: float) -> None:
        each = hosts(url)
        self._next = deque(each)
        self._next.rotate(random.randrange(len(each)))  # noqa: S311 -- spreads the clients
        self._seconds = timeout / len(each)

    async def connect(self, name: str) -> AbstractConnection:
        """Connect; the management page shows ``name``.

        Raises:
            Unavailable: no host takes us; the last one's reason.
        """
        reasons: list[str] = []
        public = ""
        for _ in range(len(self._next)):
            url = self._next[0]
            self._next.rotate(-1)
            try:
                where = f"connect to {url.host}:{url.port or 'its default port'}"
                async with bounded(where, self._seconds, stranger=True):
                    return await _connect(url, name)
            except Unavailable as error:
                reasons.append(str(error))
                public = error.public or public
        raise Unavailable("; ".join(reasons), public=public)


class _Connection(aio_pika.Connection):
    PARAMETERS = (
        ConnectionParameter("transport_factory", parser=lambda given: given, is_kwarg=True),
    )


async def _connect(url: URL, name: str) -> AbstractConnection:
    connection = _Connection(
        url, client_properties={"connection_name": name}, transport_factory=Transport()
    )
    try:
        await connection.connect()
    except BaseException:
        await connection.close()  # there is nothing to wait for: it never was open
        raise
    return connection


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
