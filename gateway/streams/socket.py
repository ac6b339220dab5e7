"""One open WebSocket: a connection taken from Sanic, to which the hub writes as to a stream.

The protocol is the ``websockets`` library's, without its I/O: Sanic's own makes a task of every
read, queues without bound, and has no way to write one frame to many connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.streams.hub import Hub
from gateway.streams.stream import Stream, discard

INBOX_MAX = 16  # messages that wait for their turn before nothing more is read
CLOSE_SECONDS = 1.0  # how long a client has to answer the closing of its connection


class Socket(Stream):
    """A stream that listens, too; it is about nothing until its client subscribes.

    A client whose answer to a ping is missing when the next one is due is cut, and so is one that
    sends and never reads.
    """

    __slots__ = ("_inbox", "_part", "_protocol", "_unanswered", "session")

    session: asyncio.Task[None]

    def __init__(self, hub: Hub, protocol: ServerProtocol, *, patience: float) -> None:
        super().__init__(hub, hub.sockets, frozenset(), patience=patience)
        self._protocol = protocol
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._part = bytearray()
        self._unanswered = False

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client sends, until the connection is over."""
        while (message := await self._inbox.get()) is not None:
            self._listen()
            yield message

    def beat(self, frame: bytes) -> None:
        """Ask for a sign of life; while history is sent, the writer's patience watches."""
        if self._queue is not None:
            return
        if self._unanswered:
            self._cut()
        else:
            self._unanswered = True
            self.send(frame)

    def finish(self, seconds: float) -> None:
        """Close as one who goes away; the reason says when to come back."""
        self.close(CloseCode.GOING_AWAY, f"come back in {seconds * 1000:.0f} ms")

    def expel(self, reason: str) -> None:
        """Close as one that the rules forbid."""
        self.close(CloseCode.POLICY_VIOLATION, reason)

    def authenticate(self, text: str, *, is_token: bool) -> None:
        """Go on with that credential.

        Raises:
            BadCredential, TooManyFailures, Forbidden, TooManyStreams
        """
        self._place.authenticate(text, is_token=is_token)
        self.scope = self.access.scope

    def say(self, frame: bytes) -> None:
        """Send a frame ahead of everything that is held back."""
        if not self._lost:
            self._transport.write(frame)

    def report(self, error: Exception) -> None:
        """Let the operator hear of a message that was refused."""
        self._place.report(error, "/ws")

    def close(self, code: CloseCode, reason: str) -> None:
        """Begin the end of the connection, which the client has to answer soon."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            else:
                # Half of the closing: what the client still sends must be read, else the kernel
                # resets the connection, and the client never learns the reason.
                self._transport.write_eof()
        if self._protocol.state is not State.OPEN and not self._lost:
            self._lost = True
            self.send = discard
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._unanswered = False
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._part += frame.data
            if frame.fin:
                self._inbox.put_nowait(bytes(self._part))
                self._part.clear()

    def _listen(self) -> None:
        """Read on, or not: while too much waits here, the kernel makes the client wait."""
        if self._transport.is_closing():
            return
        if self._drained is None and self._inbox.qsize() < INBOX_MAX:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Whole frames, parts of them, or many at once."""
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)  # noqa: S101 -- the handshake is over
            if frame.opcode is Opcode.BINARY:
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "messages are text")
                break
            self._take(frame)
        self._flush()
        self._listen()

    def eof_received(self) -> None:
        """The client has closed its side."""
        self._protocol.receive_eof()

    def pause_writing(self) -> None:
        """The reader is behind: while history waits for it, nothing is read from it either."""
        super().pause_writing()
        self._listen()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        super().resume_writing()
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever closed it: forget it."""
        self._inbox.put_nowait(None)
        super().connection_lost(exc)
