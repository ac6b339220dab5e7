"""One open WebSocket: a connection taken from Sanic, to which the hub writes as to a stream.

The protocol is the ``websockets`` library's, without its I/O: Sanic's own makes a task of every
read, queues without bound, and has no way to write one frame to many connections.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.errors import TooManyRequests
from gateway.streams.hub import Hub
from gateway.streams.pace import Pace
from gateway.streams.stream import Stream, discard

INBOX_MAX = 16  # messages that wait for their turn before nothing more is read
SLICE_BYTES = 2048  # parsed in one turn of the loop: at most 341 frames
CLOSE_SECONDS = 1.0  # how long a client has to answer the closing of its connection


class Socket(Stream):
    """A stream that listens, too; it is about nothing until its client subscribes.

    A client whose answer to a ping is missing when the next one is due is cut, and so is one that
    sends and never reads. What it sends is read in slices, so that others have their turn, and no
    faster than its pace allows. Each frame counts as a request; who is refused again and again is
    sent away.
    """

    __slots__ = (
        "_arrived",
        "_inbox",
        "_pace",
        "_part",
        "_protocol",
        "_turn",
        "_unanswered",
        "session",
    )

    session: asyncio.Task[None]

    def __init__(self, hub: Hub, protocol: ServerProtocol, *, patience: float) -> None:
        super().__init__(hub, hub.sockets, frozenset(), patience=patience)
        self._protocol = protocol
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._arrived = bytearray()
        self._turn: asyncio.TimerHandle | None = None  # when the rest of what arrived is read
        self._pace = Pace()
        self._part = bytearray()
        self._unanswered = False

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client sends, until the connection is over."""
        while (message := await self._inbox.get()) is not None:
            self._listen()
            yield message
            await asyncio.sleep(0)  # a full inbox is not to keep the loop

    def spend(self) -> None:
        """Count a message, or a frame that is none, as a request.

        Raises:
            TooManyRequests
        """
        try:
            super().spend()
        except TooManyRequests:
            if self._pace.refused(asyncio.get_running_loop().time()):
                self._fail(CloseCode.POLICY_VIOLATION, "too many requests")
            raise

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

    def _fail(self, code: CloseCode, reason: str) -> None:
        """End the connection over something that the client did; what it sent is void."""
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, reason)
            self._flush()
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    def _flush(self) -> None:
        pieces = self._protocol.data_to_send()
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))
            if not pieces[-1]:
                # Half of the closing: what the client still sends must be read, else the kernel
                # resets the connection, and the client never learns the reason.
                self._transport.write_eof()
        if self._protocol.state is not State.OPEN and not self._lost:
            self._lost = True
            self.send = discard
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def _read_slice(self) -> None:
        """Read some of what has arrived; the rest has its turn later."""
        self._turn = None
        self._protocol.receive_data(bytes(self._arrived[:SLICE_BYTES]))
        del self._arrived[:SLICE_BYTES]
        frames = self._protocol.events_received()
        for frame in frames:
            assert isinstance(frame, Frame)  # noqa: S101 -- the handshake is over
            self._take(frame)
        self._flush()
        loop = asyncio.get_running_loop()
        wait = self._pace.after(len(frames), loop.time())
        if wait or self._arrived:
            self._turn = loop.call_later(wait, self._go_on)
        self._listen()

    def _go_on(self) -> None:
        self._turn = None
        self._listen()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "messages are text")
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._part += frame.data
            if frame.fin:
                self._inbox.put_nowait(bytes(self._part))  # whose turn counts it
                self._part.clear()
                return
        elif frame.opcode is Opcode.PONG and self._unanswered:
            self._unanswered = False
            return
        with contextlib.suppress(TooManyRequests):
            self.spend()

    def _listen(self) -> None:
        """Read on, or not: while too much waits here, the kernel makes the client wait."""
        if self._transport.is_closing():
            return
        busy = self._drained is not None or self._inbox.qsize() >= INBOX_MAX
        if busy or self._arrived or self._turn is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        if self._arrived and not busy and self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(0, self._read_slice)

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Whole frames, parts of them, or many at once."""
        self._arrived += data
        if self._turn is None:
            self._read_slice()

    def eof_received(self) -> None:
        """The client has closed its side; what it sent before and was not read yet is void."""
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
        self._arrived.clear()
        if self._turn is not None:
            self._turn.cancel()
        self._inbox.put_nowait(None)
        super().connection_lost(exc)
