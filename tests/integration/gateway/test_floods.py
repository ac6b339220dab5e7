"""One client that sends as much as it can does not keep the others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from websockets.frames import Frame, Opcode

from gateway.room import Room
from tests.integration.gateway.gateway_under_test import Running, running
from tests.integration.gateway.socket_client import client_of
from tests.waiting import SECONDS

ROUNDS = 60
STALLS = 2  # of the whole machine, which a round or two may meet
# An answer took 3 to 11 s on an idle machine, where it takes 2 ms without a flood.
SLOW_SECONDS, SLOW_FACTOR = 2.0, 500

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return Frame(opcode, data, fin=fin).serialize(mask=True)


# What begins the connection, and what is sent over and over.
FLOODS: Mapping[str, tuple[bytes, bytes]] = {
    "requests": (b"", b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "messages": (HANDSHAKE, frame(Opcode.TEXT, b"{}")),
    "pings": (HANDSHAKE, frame(Opcode.PING)),
    "pongs": (HANDSHAKE, frame(Opcode.PONG)),
    "fragments": (
        HANDSHAKE + frame(Opcode.TEXT, fin=False),
        frame(Opcode.CONT, fin=False),
    ),
    "chunks": (
        b"POST /api/tts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
}

# In a process of its own, so that it has the other core. It reads all answers, comes back when it
# is cut off, and never sends more than 2 MB/s.
ATTACK = """
import socket, sys, threading, time
port, first, again = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
block = again * (8000 // len(again))

def read(client):
    try:
        while client.recv(65536):
            pass
    except OSError:
        pass

sent, started, client = 0, time.monotonic(), None
while True:
    time.sleep(max(0, sent / 2e6 - (time.monotonic() - started)))
    try:
        if client is None:
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(first)
            if first.startswith(b"GET /ws"):
                client.recv(4096)
            threading.Thread(target=read, args=(client,), daemon=True).start()
        client.sendall(block)
        sent += len(block)
    except OSError:
        client = None
"""


@pytest.mark.parametrize("kind", FLOODS)
async def test_others_are_served(tmp_path: Path, kind: str):
    """Whatever is sent without a pause, health answers."""
    first, again = FLOODS[kind]
    async with running(tmp_path, probes={"nothing": fine}) as its:
        usual = statistics.median(await answers(its, 10))
        attack = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ATTACK, str(its.settings.port), first.hex(), again.hex()
        )
        try:
            seconds = await answers(its, ROUNDS)
        finally:
            attack.kill()
            await attack.wait()
        assert sorted(seconds)[-1 - STALLS] < max(SLOW_SECONDS, SLOW_FACTOR * usual)


async def fine() -> None:
    """So that health is about the gateway alone."""


async def answers(its: Running, rounds: int) -> list[float]:
    """How many seconds each of so many answers took."""
    now = asyncio.get_running_loop().time
    seconds = []
    for _ in range(rounds):
        started = now()
        reader, writer = await asyncio.open_connection("127.0.0.1", its.settings.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        seconds.append(now() - started)
        await asyncio.sleep(0.02)  # the attack goes on meanwhile
    return seconds


@pytest.mark.parametrize("flood", ["messages", "pings", "pongs", "fragments"])
async def test_who_goes_on_when_refused_is_sent_away(tmp_path: Path, flood: str):
    """Every frame counts: the connection ends with 1008, policy violation."""
    async with running(tmp_path, rate_limit_per_address=10) as its, client_of(its) as client:
        data = FLOODS[flood][1] * 500
        if flood == "fragments":
            data = frame(Opcode.TEXT, fin=False) + data
        client.connection.transport.write(data)
        code, reason = await client.closed()
        assert (code, reason) == (1008, "too many requests")


async def test_who_is_refused_now_and_then_stays(tmp_path: Path):
    """A client that asks too fast, hears it and goes on more slowly keeps its connection."""
    async with running(tmp_path, rate_limit_per_address=10) as its, client_of(its) as client:
        for _ in range(30):
            await client.ask("ping")
        await asyncio.sleep(1.1)  # what a client does that heeds the answer
        assert (await client.ask("ping"))["type"] == "pong"


async def test_many_messages_at_once_are_answered(tmp_path: Path):
    """Where there is no limit, a client may send thousands without waiting; none is lost."""
    count = 3000
    async with running(tmp_path) as its, client_of(its) as client:
        data = b"".join(
            frame(Opcode.TEXT, b'{"type":"ping","id":%d}' % number) for number in range(count)
        )
        client.connection.transport.write(data)
        answers = [(await client.of("pong"))["id"] for _ in range(count)]
        assert answers == list(range(count))


async def test_a_message_in_a_thousand_pieces(tmp_path: Path):
    """Each byte in a frame of its own, and each byte of a frame in a packet of its own."""
    message = b'{"type": "ping", "id": "' + b"x" * 100 + b'"}'
    async with running(tmp_path) as its, client_of(its) as client:
        pieces = [frame(Opcode.TEXT, message[:1], fin=False)]
        pieces += [
            frame(Opcode.CONT, message[n : n + 1], fin=False) for n in range(1, len(message))
        ]
        pieces.append(frame(Opcode.CONT))
        for byte in b"".join(pieces):
            client.connection.transport.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.of("pong"))["id"] == "x" * 100


async def test_streams_leave_files_for_tasks(tmp_path: Path, monkeypatch):
    """Where few files may be open, streams are refused with a time to come back; tasks not."""
    monkeypatch.setattr(Room, "of_process", lambda: Room(files=64, used=33))
    async with running(tmp_path) as its, contextlib.AsyncExitStack() as stack:
        statuses = []
        for _ in range(20):
            answer = await stack.enter_async_context(its.client.stream("GET", "/events"))
            statuses.append(answer.status_code)
        assert (statuses[0], statuses[-1]) == (200, 503)
        assert orjson.loads(await answer.aread())["code"] == "no_room"
        assert int(answer.headers["retry-after"]) > 0
        assert statuses == sorted(statuses)
        await its.post()
        noted = (await its.client.get("/health")).json()["data"]["notes"]
        assert "Only 64 files may be open" in noted[0]
        assert len(its.gateway.hub.streams) == statuses.count(200)
