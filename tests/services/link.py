"""A network between a client and a server, with the troubles that networks have."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum, auto
from typing import Any, Self

from tests.services.ports import at_port, free_port
from tests.services.silence import Silence

_CHUNK = 1 << 16
_ON_THE_WAY = 64  # chunks between two ends; a sender then waits, as for a full window
_PATIENCE = 60  # seconds for the link's own thread to do what it is asked
# With no time to linger, closing sends a reset instead of an orderly end.
_AT_ONCE = struct.pack("ii", 1, 0)


class _Door(Enum):
    """What becomes of a connection that a client opens."""

    OPEN = auto()
    HANGS_UP = auto()
    RESETS = auto()
    SWALLOWS = auto()


class Link:
    """A TCP proxy on 127.0.0.1, from ``port`` to ``target`` (a port, which may be changed).

    A trouble lasts until the next one or :meth:`heal`. These end what connections are there, in the
    same way as those that come: ``refuse``, ``hang_up``, ``reset``. These keep them: ``freeze``,
    where all waits; ``swallow``, where bytes are taken and thrown away; ``vanish``, where packets
    are dropped, so that not even TCP answers (needs root). ``cut`` resets those that are there,
    once. ``delay`` (seconds, each way) and ``rate`` (bytes a second, each way; 0 is no limit) may
    be set at any time. A thread of its own does the work; calls may come from any other.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self.rate = 0.0
        self.door = _Door.OPEN
        self.passable = asyncio.Event()
        self.wires: set[_Wire] = set()
        self._server: asyncio.Server | None = None
        self._silence: Silence | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.heal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def through(self, url: str) -> str:
        """The URL of a server, by way of this link."""
        return at_port(url, self.port)

    def heal(self) -> None:
        """Everything passes again; what was swallowed is lost, and its connections stay deaf."""
        self.delay = self.rate = 0.0
        self._ask(self._be(_Door.OPEN))

    def refuse(self) -> None:
        """Nobody listens, as when the server's process has ended."""
        self._ask(self._be(None))
        self.cut()

    def hang_up(self) -> None:
        """Accept and close at once, as a balancer does that has no server left."""
        self._ask(self._be(_Door.HANGS_UP))
        self._ask(self._end(reset=False))

    def reset(self) -> None:
        """Accept and reset."""
        self._ask(self._be(_Door.RESETS))
        self.cut()

    def freeze(self) -> None:
        """Nothing passes until :meth:`heal`, and then all that was held, as from a hung machine."""
        self._ask(self._be(_Door.OPEN, passable=False))

    def swallow(self) -> None:
        """Half-open: what is sent is acknowledged by TCP and lost, and neither end is told."""
        self._ask(self._be(_Door.SWALLOWS))

    def vanish(self) -> None:
        """Packets of old and new connections are dropped, as when a machine loses its power."""
        self._ask(self._be(_Door.OPEN))
        self._silence = Silence(self.port)

    def cut(self) -> None:
        """Reset the connections that are there, once."""
        self._ask(self._end(reset=True))

    @property
    def connections(self) -> int:
        """How many connections are there now."""
        return len(self.wires)

    def stop(self) -> None:
        """End every connection, and listen no more."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _be(self, door: _Door | None, *, passable: bool = True) -> None:
        if self._silence:
            self._silence.end()
            self._silence = None
        (self.passable.set if passable else self.passable.clear)()
        if door is _Door.SWALLOWS:
            for wire in self.wires:
                wire.deaf = True
        if door is None:
            if self._server:
                self._server.close()
                self._server = None
            self.door = _Door.RESETS  # whoever was accepted just now and is not among the wires yet
            return
        self.door = door
        if not self._server:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = _Wire(self, reader, writer)
        self.wires.add(wire)
        with contextlib.suppress(asyncio.CancelledError):  # by end(), and streams would report it
            await wire.carry()
        self.wires.discard(wire)

    async def _end(self, *, reset: bool) -> None:
        wires = list(self.wires)
        for wire in wires:
            wire.end(reset=reset)
        await asyncio.gather(*(wire.ended.wait() for wire in wires))


class _Wire:
    """One client's connection, and the one to the target that goes with it."""

    def __init__(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._link = link
        self._client = (reader, writer)
        self._writers = [writer]
        self._task = asyncio.current_task()
        self.deaf = link.door is _Door.SWALLOWS
        self.ended = asyncio.Event()

    async def carry(self) -> None:
        """Carry bytes both ways until both ends have closed, or the link ends it."""
        try:
            match self._link.door:
                case _Door.RESETS:
                    self._linger_not()
                case _Door.SWALLOWS:
                    await self._one_way(self._client[0], None)
                    await asyncio.Event().wait()
                case _Door.OPEN:
                    await self._both_ways()
        except* OSError:
            self._linger_not()  # one end has been reset, or there is no target: so hears the other
        finally:
            for writer in self._writers:
                writer.close()
            self.ended.set()

    def end(self, *, reset: bool) -> None:
        """End it now."""
        if reset:
            self._linger_not()
        self._task.cancel()

    async def _both_ways(self) -> None:
        await self._link.passable.wait()
        server = await asyncio.open_connection("127.0.0.1", self._link.target)
        self._writers.append(server[1])
        async with asyncio.TaskGroup() as ways:
            ways.create_task(self._one_way(self._client[0], server[1]))
            ways.create_task(self._one_way(server[0], self._client[1]))

    async def _one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None
    ) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_THE_WAY)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take(reader, chunks))
            ends.create_task(self._give(writer, chunks))

    async def _take(
        self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"begin"
        while data:
            try:
                data = await reader.read(int(self._link.rate / 20) or _CHUNK)
            except OSError:
                if not self.deaf:
                    raise
                data = b""
            await chunks.put((asyncio.get_running_loop().time() + self._link.delay, data))

    async def _give(
        self, writer: asyncio.StreamWriter | None, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"begin"
        while data:
            due, data = await chunks.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._link.passable.wait()
            if self.deaf or writer is None:
                continue
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            if self._link.rate:
                await asyncio.sleep(len(data) / self._link.rate)
        await asyncio.Event().wait()  # it was deaf, so the other end never hears of this one's end

    def _linger_not(self) -> None:
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            if connection.fileno() >= 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
