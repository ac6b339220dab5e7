"""What a network does to a connection, so that tests can do it to ours."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Self

import pytest

from tests.services.link import Link

PATIENCE, IMPATIENCE = 30.0, 0.4  # seconds for what is to come, and for what is not


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back what comes."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that echoes."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        link = Link(server.sockets[0].getsockname()[1])
        yield link
        await asyncio.to_thread(link.stop)


class Client:
    """A connection through a link, with calls that give up some time."""

    def __init__(self, link: Link) -> None:
        self._socket = socket.create_connection(("127.0.0.1", link.port), PATIENCE)

    def expect(self, ends: set[str]) -> None:
        """Be patient unless it is expected that nothing comes."""
        self._socket.settimeout(IMPATIENCE if "TimeoutError" in ends else PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def echo(self, data: bytes = b"hello") -> str:
        """What becomes of ``data``: an error's name, "end", or "echo" if it comes back."""
        try:
            self._socket.sendall(data)
            return self.rest(len(data))
        except OSError as error:
            return type(error).__name__

    def rest(self, size: int) -> str:
        """As :meth:`echo`, of ``size`` bytes that were sent before."""
        try:
            while size > 0:
                part = self._socket.recv(size)
                if not part:
                    return "end"
                size -= len(part)
        except OSError as error:
            return type(error).__name__
        return "echo"


def newcomer(link: Link, ends: set[str]) -> str:
    """What becomes of a client that connects now; ``ends`` are expected."""
    try:
        with Client(link) as client:
            client.expect(ends)
            return client.echo()
    except OSError as error:
        return type(error).__name__


class TestTrouble:
    @pytest.mark.parametrize(
        ("trouble", "present", "coming"),
        [
            ("refuse", {"ConnectionResetError"}, {"ConnectionRefusedError"}),
            ("hang_up", {"end"}, {"end", "ConnectionResetError"}),
            ("reset", {"ConnectionResetError"}, {"ConnectionResetError"}),
            ("cut", {"ConnectionResetError"}, {"echo"}),
            ("freeze", {"TimeoutError"}, {"TimeoutError"}),
            ("swallow", {"TimeoutError"}, {"TimeoutError"}),
            pytest.param("vanish", {"TimeoutError"}, {"TimeoutError"}, marks=pytest.mark.cluster),
        ],
    )
    async def test_it_meets_connections_and_ends_with_heal(
        self, link: Link, trouble: str, present: set[str], coming: set[str]
    ) -> None:
        """Connections that are there and that come see the trouble, and none after it is healed."""

        def story() -> None:
            with Client(link) as client:
                assert client.echo() == "echo"
                getattr(link, trouble)()
                client.expect(present)
                assert client.echo() in present
                assert newcomer(link, coming) in coming
                link.heal()
                assert newcomer(link, {"echo"}) == "echo"

        await asyncio.to_thread(story)

    async def test_a_frozen_machine_goes_on_where_it_stopped(self, link: Link) -> None:
        """What was sent meanwhile arrives when the freeze ends."""

        def story() -> None:
            with Client(link) as client:
                link.freeze()
                client.expect({"TimeoutError"})
                assert client.echo(b"hello") == "TimeoutError"
                link.heal()
                client.expect({"echo"})
                assert client.rest(5) == "echo"

        await asyncio.to_thread(story)

    async def test_a_half_open_connection_stays_deaf(self, link: Link) -> None:
        """What was swallowed never arrives, and neither does what follows it."""

        def story() -> None:
            with Client(link) as client:
                assert client.echo() == "echo"
                link.swallow()
                client.expect({"TimeoutError"})
                assert client.echo() == "TimeoutError"
                link.heal()
                assert client.echo() == "TimeoutError"
                assert link.connections == 1

        await asyncio.to_thread(story)


class TestSlowness:
    async def test_delay_and_rate_are_kept(self, link: Link) -> None:
        """A round trip takes two delays, and a megabyte at 2 MB a second half a second."""

        def seconds(size: int) -> float:
            with Client(link) as client:
                begin = time.monotonic()
                assert client.echo(b"x" * size) == "echo"
                return time.monotonic() - begin

        link.delay = 0.1
        assert await asyncio.to_thread(seconds, 5) >= 0.2
        link.delay, link.rate = 0, 2_000_000
        assert await asyncio.to_thread(seconds, 1_000_000) >= 0.4
