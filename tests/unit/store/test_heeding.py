"""What reads a connection's notices leaves nothing behind when the connection is lost."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import psycopg
import pytest
import uvloop

from tts.store.postgres_bounds import heed


class Server:
    """The driver's side of a connection; libpq closes the socket of one that is lost."""

    notify_handler = None

    def __init__(self, own: socket.socket) -> None:
        self.own = own

    def consume_input(self) -> None:
        """What there is to read says that it is over."""
        self.own.close()
        raise psycopg.OperationalError("the connection is lost")


class Connection:
    """One with its server."""

    def __init__(self, own: socket.socket) -> None:
        self.pgconn = Server(own)

    def fileno(self) -> int:
        """Its number, as long as there is one."""
        if (number := self.pgconn.own.fileno()) < 0:
            raise psycopg.OperationalError("the connection is lost")
        return number

    def add_notify_handler(self, _handler: Any) -> None:
        """Nothing comes."""


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_the_number_of_a_lost_connection_can_be_anothers(loop: Any):
    """It is the next socket's, which the pool waits on."""

    async def scenario() -> None:
        (own, other), (mine, theirs) = socket.socketpair(), socket.socketpair()
        number = own.fileno()
        heard = asyncio.Event()
        reading = asyncio.create_task(heed(Connection(own), lambda _: None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        other.send(b"x")
        with pytest.raises(psycopg.OperationalError, match="lost"):
            await reading
        os.dup2(mine.fileno(), number)
        asyncio.get_running_loop().add_reader(number, heard.set)
        theirs.send(b"x")
        async with asyncio.timeout(30):
            await heard.wait()
        asyncio.get_running_loop().remove_reader(number)
        os.close(number)
        for each in (other, mine, theirs):
            each.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
