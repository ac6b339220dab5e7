"""How long a connection to PostgreSQL is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import psycopg
from psycopg import AsyncConnection, Notify

from tts.ports.errors import Unavailable
from tts.store.postgres_errors import is_away

PATIENCE_SECONDS = 5.0  # an append or a read waits this long for the server before it gives up


@contextlib.asynccontextmanager
async def bounded(
    connection: AsyncConnection, seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[None]:
    """Cut the connection if the block lasts longer, and close it after an error of the server's.

    Raises:
        Unavailable: the answer did not come in time; what was asked for may or may not be done.
        psycopg.Error
    """
    late = False

    def cut() -> None:
        nonlocal late
        late = True
        # The driver sees an end of the stream at once. Canceling it instead would have it ask the
        # server, which does not answer, to cancel the statement.
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as end,
        ):
            end.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(seconds, cut)
    try:
        yield
    except (psycopg.Error, OSError) as error:
        if late:
            raise Unavailable(f"PostgreSQL: no answer within {seconds:g} s") from error
        if is_away(error):
            await connection.close()
        raise
    finally:
        timer.cancel()


async def notices(connection: AsyncConnection) -> AsyncIterator[Notify]:
    """What the connection is notified of, for ever; a silence is looked into.

    Raises:
        Unavailable, psycopg.Error: the connection is gone.
    """
    while True:
        async for notice in connection.notifies(timeout=PATIENCE_SECONDS):
            yield notice
        await hear_from(connection)


async def hear_from(connection: AsyncConnection) -> None:
    """Return if the server answers.

    Raises:
        Unavailable, psycopg.Error
    """
    async with bounded(connection):
        await connection.execute("SELECT 1")
