"""One open stream: a connection taken from Sanic, to which others write."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from sanic import Request

from gateway.access.admission import Place
from gateway.access.roles import Access
from gateway.metrics import SLOW_STREAMS
from gateway.sanic_internals import take_transport
from gateway.streams import sse
from gateway.streams.hub import Hub
from gateway.streams.subscribers import Subscribers

BUFFER_BYTES = 512 * 1024  # how far a reader may fall behind, beyond what the kernel holds

# The end of a body in chunks is seen: a stream that breaks off without it is no finished one. Who
# reads HTTP/1.0, as many proxies do, gets a body that ends with its connection.
HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-content-type-options", "nosniff"),
    ("x-accel-buffering", "no"),
)
HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in HEADERS)
    + b"connection: close\r\n%b\r\n"
)
IN_CHUNKS = b"transfer-encoding: chunked\r\n"


class Stream(asyncio.Protocol):
    """A subscriber of the hub, one of ``readers`` there.

    It queues what the hub sends until :meth:`go_live`; from then on ``send`` is the transport's own
    ``write``, and a reader that falls behind by more than ``BUFFER_BYTES`` is cut: it resumes.
    ``patience`` in seconds is how long a reader may take nothing at all.
    """

    # There may be ten thousand of them.
    __slots__ = (
        "_drained",
        "_hub",
        "_lost",
        "_patience",
        "_place",
        "_queue",
        "_queued",
        "_readers",
        "_transport",
        "scope",
        "send",
        "tasks",
    )

    def __init__(
        self, hub: Hub, readers: Subscribers, tasks: frozenset[UUID] | None, *, patience: float
    ) -> None:
        self.tasks = tasks
        self.send: Callable[[bytes], None] = self._enqueue
        self._hub = hub
        self._readers = readers
        self._patience = patience
        self._queue: list[bytes] | None = []
        self._queued = 0
        self._drained: asyncio.Future[None] | None = None
        self._lost = False

    def begin(self, transport: Any, place: Place) -> None:
        """Take over the transport and subscribe."""
        self._place = place
        self.scope = place.access.scope
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        transport.set_protocol(self)
        # A client that vanished without a word answers nothing to the next heartbeat either: the
        # kernel ends the connection when that stays unacknowledged for this long.
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._patience * 1000)
        )
        self._transport = transport
        self._readers.add(self)

    async def write_frames(self, frames: Iterable[bytes], *, head: bytes = b"") -> None:
        """Send frames that come before the live updates, after a ``head`` that is none.

        Raises:
            ConnectionError: as :meth:`write`.
        """
        if together := b"".join(frames):  # an empty chunk would end the body
            await self.write(head + self._readers.coding.wrap(together))

    async def write(self, data: bytes) -> None:
        """Send what comes before the live updates, as fast as the reader takes it.

        Raises:
            ConnectionError: the reader is gone, or takes nothing.
        """
        if not self._lost:  # else uvloop refuses to write
            self._transport.write(data)
        if self._drained is not None:
            try:
                async with asyncio.timeout(self._patience):
                    await self._drained
            except TimeoutError:
                self._cut()
        if self._lost:
            raise ConnectionResetError("the reader of a stream is gone")

    async def go_live(self) -> None:
        """Send what was queued meanwhile; from then on updates go straight to the transport.

        Raises:
            ConnectionError: as :meth:`write`.
        """
        while self._queue:
            queued, self._queue, self._queued = self._queue, [], 0
            await self.write(b"".join(queued))
        if self._lost:
            raise ConnectionResetError("the stream is over")
        self._queue = None
        self.send = self._transport.write

    def hold(self) -> None:
        """Queue again what the hub sends, until the next :meth:`go_live`."""
        self._queue, self._queued = [], 0
        self.send = self._enqueue

    @property
    def access(self) -> Access:
        """What the credential grants that it was opened with, or has shown since."""
        return self._place.access

    @property
    def ends(self) -> float:
        """When that credential ends, in seconds since 1970."""
        return self._place.ends

    def refusal(self) -> str:
        """Why the credential is good no more; empty if it is."""
        return self._place.refusal()

    def spend(self) -> None:
        """Count a message that amounts to a request.

        Raises:
            TooManyRequests
        """
        self._place.spend()

    def beat(self, frame: bytes) -> None:
        """A reader that is gone shows it by not acknowledging this."""
        self.send(frame)

    def finish(self, seconds: float) -> None:
        """Tell the reader to come back after that time, and close once it knows."""
        self._close_with(sse.retry(seconds))

    def expel(self, reason: str) -> None:
        """Close, since the credential has ended; who comes back with it is refused."""
        self._close_with(sse.ended(reason))

    def _close_with(self, frame: bytes) -> None:
        wrap, end = self._readers.coding
        if not self._transport.is_closing():
            self._transport.write(wrap(frame) + end)
            self._transport.close()
        self._lost = True
        self.send = discard

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _enqueue(self, frame: bytes) -> None:
        assert self._queue is not None  # noqa: S101 -- replaced when the queue goes
        self._queue.append(frame)
        self._queued += len(frame)
        if self._queued > BUFFER_BYTES:
            self._cut()

    def _cut(self) -> None:
        if not self._transport.is_closing():
            SLOW_STREAMS.inc()
            self._transport.abort()
        self._lost = True
        self.send = discard

    # --- asyncio.Protocol

    def pause_writing(self) -> None:
        """The reader is behind: history waits for it, live updates do not."""
        if self._queue is None:
            self._cut()
        else:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- nothing depends on it
        """Whoever closed it: forget the stream."""
        self._lost = True
        self.send = discard
        self.resume_writing()
        self._place.leave()
        self._readers.discard(self)
        self._hub.rest()


def discard(_frame: bytes) -> None:
    """Take the place of ``send`` when the connection is gone and the hub does not know yet."""


def take_over(request: Request, stream: Stream) -> None:
    """Make the request's connection the stream's, if the client may have one more.

    Raises:
        TooManyStreams
    """
    place = request.app.ctx.admission.place(request, request.ctx.access)
    stream.begin(take_transport(request), place)
