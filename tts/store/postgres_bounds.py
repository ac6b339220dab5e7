"""How long a connection to PostgreSQL is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

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


async def heed(connection: AsyncConnection, hear: Callable[[Notify], None]) -> NoReturn:
    """Pass on what the connection is notified of, for ever; a silence is looked into.

    psycopg's own ``notifies()`` makes a future and two timers for each notice, of which a task has
    half a dozen in every process.

    Raises:
        Unavailable, psycopg.Error: the connection is gone.
    """
    loop, number = asyncio.get_running_loop(), connection.fileno()
    over, failures = asyncio.Event(), list[Exception]()
    heard_at = loop.time()

    def note(notice: Notify) -> None:
        nonlocal heard_at
        heard_at = loop.time()
        hear(notice)

    def read() -> None:
        server = connection.pgconn
        try:
            server.consume_input()
            while (notice := server.notifies()) is not None and server.notify_handler:
                server.notify_handler(notice)
        except Exception as error:  # noqa: BLE001 -- raised below
            # At once: the socket is closed already, and the next one may get its number.
            loop.remove_reader(number)
            failures.append(error)
            over.set()

    connection.add_notify_handler(note)
    while True:
        loop.add_reader(number, read)
        try:
            while not over.is_set() and (left := heard_at + PATIENCE_SECONDS - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await over.wait()
        finally:
            if not failures:
                loop.remove_reader(number)
        if failures:
            raise failures[0]
        await hear_from(connection)
        heard_at = loop.time()


async def hear_from(connection: AsyncConnection) -> None:
    """Return if the server answers.

    Raises:
        Unavailable, psycopg.Error
    """
    async with bounded(connection):
        await connection.execute("SELECT 1")
