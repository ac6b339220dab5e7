"""A broker's address at which no broker answers, or one that does not take us."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.services.link import Link
from tests.waiting import SECONDS, until
from tts.ports.errors import Unavailable
from tts.ports.queue import Delivery, Destination, Message
from tts.queue.rabbitmq import RabbitMQ
from tts.queue.rabbitmq.hosts import HEARTBEAT_SECONDS
from tts.queue.rabbitmq.transport import SILENT_HEARTBEATS

TIMEOUT = 1.0
LATE_SECONDS = 30.0  # on a machine that is busy
START = b"\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x0a"  # of a frame: channel 0, Connection.Start

ANSWERS = {
    "nothing": b"",
    "half a frame": START[:9],
    "another protocol version": b"AMQP\x00\x01\x00\x00",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "tls": b"\x15\x03\x03\x00\x02\x02\x46",
    "zeros": b"\0" * 64,
    "an empty frame": b"\x01\x00\x00\x00\x00\x00\x00\xce",
    "no such method": b"\x01\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff\xce",
    "half a method": b"\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x0a\x00\xce",
    "two bytes of a method": b"\x01\x00\x00\x00\x00\x00\x02\x00\x0a\xce",
    "a heartbeat": b"\x08\x00\x00\x00\x00\x00\x00\xce",
    "no mechanisms": START + b"\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xce",
}


@contextlib.asynccontextmanager
async def a_server(answer: bytes):
    """Answers whoever connects, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with contextlib.suppress(OSError):
            await reader.read(8)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def a_message() -> Message:
    return Message(Destination.WORK, uuid4(), attempt=1, position=1)


async def refuses(queue: RabbitMQ) -> Unavailable:
    """What publishing, health and a consumer meet; the consumer goes on trying."""
    with pytest.raises(Unavailable) as refused:
        await queue.publish(a_message())
    with pytest.raises(Unavailable):
        await queue.healthy()
    async with queue.deliveries(1) as deliveries:
        coming = asyncio.ensure_future(anext(deliveries))
        done, _ = await asyncio.wait([coming], timeout=0.3)
        assert not done
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    await queue.aclose()
    return refused.value


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
async def test_whatever_answers_the_broker_is_unavailable(answer, scheme):
    """A balancer without a broker behind it, or a wrong port, is waited out like an outage."""
    async with a_server(ANSWERS[answer]) as port:
        queue = RabbitMQ(f"{scheme}://guest:guest@127.0.0.1:{port}/", timeout=TIMEOUT)
        started = time.monotonic()
        error = await refuses(queue)
        assert time.monotonic() - started < 2 * TIMEOUT + LATE_SECONDS
        assert "guest" not in str(error)


@pytest.mark.parametrize("trouble", ["hang_up", "reset", "refuse", "freeze", "swallow"])
async def test_a_balancer_that_loses_its_brokers_is_waited_out(rabbitmq, trouble):
    """Connections that are there and new ones meet the trouble; consuming goes on after it."""
    vhost = rabbitmq.create_vhost()
    with Link(rabbitmq.port) as link:
        queue = RabbitMQ(f"{link.through(vhost)}?heartbeat=1", timeout=TIMEOUT)
        async with queue.deliveries(1) as deliveries:
            await passes(queue, deliveries)
            await asyncio.to_thread(getattr(link, trouble))
            with pytest.raises(Unavailable):
                await queue.publish(a_message())
            with pytest.raises(Unavailable):
                await queue.healthy()
            await asyncio.to_thread(link.heal)
            await passes(queue, deliveries)
        await queue.aclose()


async def passes(queue: RabbitMQ, deliveries: AsyncIterator[Delivery]) -> None:
    """Return when a message has gone through, however often it had to be sent."""
    message = a_message()

    async def published() -> bool:
        with contextlib.suppress(Unavailable):
            await queue.publish(message)
            return True
        return False

    await until(published, "publishing works")
    async with asyncio.timeout(SECONDS):
        async for delivery in deliveries:
            await delivery.ack()
            if delivery.message == message:
                return


@pytest.mark.parametrize("trouble", ["swallow", pytest.param("vanish", marks=pytest.mark.cluster)])
async def test_a_consumer_notices_within_15_seconds_that_nothing_comes_any_more(rabbitmq, trouble):
    """A connection that died without a word is given up after two heartbeats; health says so."""
    assert SILENT_HEARTBEATS * HEARTBEAT_SECONDS <= 15
    with Link(rabbitmq.port) as link:
        queue = RabbitMQ(f"{link.through(rabbitmq.create_vhost())}?heartbeat=1")
        async with queue.deliveries(1):
            [consumer] = queue._consumers
            await until(lambda: not troubled(consumer), "it consumes")
            await asyncio.to_thread(getattr(link, trouble))
            await until(lambda: troubled(consumer), "it notices")
            await asyncio.to_thread(link.heal)
            await until(lambda: not troubled(consumer), "it consumes again")
        await queue.aclose()


def troubled(consumer) -> bool:
    try:
        consumer.check()
    except Unavailable:
        return True
    return False


async def test_the_brokers_own_reason_is_told(rabbitmq):
    """A refused password and a missing vhost are told as the broker tells them, and no secret."""
    port = rabbitmq.port
    wrong = RabbitMQ(f"amqp://guest:hunter2@127.0.0.1:{port}/", timeout=SECONDS)
    with pytest.raises(Unavailable, match="ACCESS_REFUSED") as refused:
        await wrong.healthy()
    assert "hunter2" not in str(refused.value)
    assert "ACCESS_REFUSED" in refused.value.public
    assert str(port) not in refused.value.public
    nowhere = RabbitMQ(f"amqp://guest:guest@127.0.0.1:{port}/nowhere", timeout=SECONDS)
    with pytest.raises(Unavailable, match="vhost nowhere not found"):
        await nowhere.healthy()
    await wrong.aclose()
    await nowhere.aclose()


async def test_tls_trusts_an_authority_of_ones_own(rabbitmq, authority):
    """`?cafile=` names it; without it the certificate is refused, and health says why."""
    trusting = RabbitMQ(f"{rabbitmq.tls_url}?cafile={authority.file}", timeout=SECONDS)
    await trusting.publish(a_message())
    await trusting.healthy()
    await trusting.aclose()
    strange = RabbitMQ(rabbitmq.tls_url, timeout=SECONDS)
    with pytest.raises(Unavailable, match="certificate verify failed") as refused:
        await strange.publish(a_message())
    assert "certificate verify failed" in refused.value.public
    await strange.aclose()
