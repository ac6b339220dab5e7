"""The bytes under a connection: silence is noticed, and what cannot be decoded is made readable.

The reader below us decodes the properties of each message, and ends the whole connection if it
cannot (a timestamp past the year 9999, a name that is no UTF-8, a table in a table a thousand
times). The message would come again on the next connection, for ever. Here, such properties are
replaced before they are decoded, so that the message arrives and can be rejected.
"""

from __future__ import annotations

import asyncio
import math
import struct
from pathlib import Path
from typing import Any, cast

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import AMQPConnectionError, ConnectionClosed, InvalidFrameError
from pamqp import commands, constants, decode
from pamqp.header import ContentHeader
from yarl import URL

from tts.queue.rabbitmq.hosts import HEARTBEAT

UNREADABLE = "x-unreadable"  # the header that says why a message's own properties are not there
SILENT_HEARTBEATS = 2  # the broker sends one in half of that time
LONGEST_FRAME = 1 << 24  # bytes; RabbitMQ's are 128 KiB unless it is told otherwise
REASON_CHARS = 200
CERTIFICATES = ("cafile", "capath", "certfile", "keyfile")  # parameters of the URL that name files

_HEAD = struct.Struct(">BHI")  # type, channel, length
_CONTENT = struct.Struct(">HHQ")  # class, weight, size of the body
_TYPES = {
    constants.FRAME_METHOD,
    constants.FRAME_HEADER,
    constants.FRAME_BODY,
    constants.FRAME_HEARTBEAT,
}
_OPEN_OK = struct.pack(">I", commands.Connection.OpenOk.index)
_CLOSE = struct.pack(">I", commands.Connection.Close.index)
_DELIVER = struct.pack(">I", commands.Basic.Deliver.index)


class Transport(TransportFactory):
    """Connects with or without TLS, as the URL says (``?cafile=`` names an authority)."""

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See aiormq."""
        for name in CERTIFICATES:
            if (path := url.query.get(name)) and not await asyncio.to_thread(Path(path).exists):
                raise FileNotFoundError(f"{name}: {path} is not there")
        kind = TLSTransportFactory if url.scheme == "amqps" else TCPTransportFactory
        reader, writer = await kind().create(url, **kwargs)
        heartbeat = float(url.query[HEARTBEAT]) or math.inf
        frames = Frames(reader, writer, silence=heartbeat * SILENT_HEARTBEATS)
        return cast("asyncio.StreamReader", frames), writer


class Frames:
    """Stands in for the stream that a connection reads from, and hands out whole, sound frames.

    ``silence`` is for how many seconds nothing may come.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, silence: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._silence = None if math.isinf(silence) else silence
        self._rest = b""
        self._open = False

    def at_eof(self) -> bool:
        """Never: an end is raised by :meth:`readexactly`, for aiormq would pass over it quietly."""
        return False

    async def readexactly(self, size: int) -> bytes:
        """The next bytes; aiormq asks for a frame in three parts.

        Raises:
            asyncio.IncompleteReadError: the connection has ended.
            AMQPConnectionError: nothing comes any more.
            InvalidFrameError: this is no RabbitMQ.
            ConnectionClosed: the broker does not take us; aiormq would not pass its reason on.
        """
        if not self._rest:
            self._rest = await self._frame()
        part, self._rest = self._rest[:size], self._rest[size:]
        if len(part) < size:
            raise InvalidFrameError("less than a frame")
        return part

    async def _frame(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence):
                head = await self._reader.readexactly(_HEAD.size)
                kind, channel, length = _HEAD.unpack(head)
                if head.startswith(constants.AMQP):
                    return head  # the broker's answer to a version that it does not speak
                if kind not in _TYPES or length > LONGEST_FRAME:
                    raise InvalidFrameError("this is not how RabbitMQ answers")
                rest = await self._reader.readexactly(length + 1)
        except TimeoutError as error:
            self._writer.transport.abort()
            raise AMQPConnectionError(f"nothing for {self._silence:g} s") from error
        payload = self._sound(kind, rest[:-1])
        return _HEAD.pack(kind, channel, len(payload)) + payload + rest[-1:]

    def _sound(self, kind: int, payload: bytes) -> bytes:
        if kind == constants.FRAME_HEADER:
            return sound_properties(payload)
        if kind == constants.FRAME_METHOD:
            method, arguments = payload[: len(_DELIVER)], payload[len(_DELIVER) :]
            if method == _DELIVER:
                return method + sound_delivery(arguments)
            if method == _CLOSE and not self._open:
                close = commands.Connection.Close()
                close.unmarshal(arguments)
                raise ConnectionClosed(close.reply_code, close.reply_text)
            self._open = self._open or method == _OPEN_OK
        return payload


def sound_properties(payload: bytes) -> bytes:
    """The properties of a message, or in their place one header that says why they are not."""
    try:
        ContentHeader().unmarshal(payload)
    except Exception as error:  # noqa: BLE001 -- whatever somebody wrote into them
        _, _, size = _CONTENT.unpack_from(payload)
        reason = f"{type(error).__name__}: {error}"[:REASON_CHARS]
        properties = commands.Basic.Properties(headers={UNREADABLE: reason})
        return ContentHeader(body_size=size, properties=properties).marshal()
    return payload


def sound_delivery(arguments: bytes) -> bytes:
    """A delivery's arguments, without exchange and routing key if they are no UTF-8."""
    try:
        commands.Basic.Deliver().unmarshal(arguments)
    except Exception:  # noqa: BLE001 -- see above
        consumer_tag, _ = decode.short_str(arguments)
        return arguments[: consumer_tag + 8 + 1] + b"\0\0"  # delivery tag, redelivered
    return arguments
