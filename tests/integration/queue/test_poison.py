"""Whatever somebody puts into our queues, consuming goes on."""

import asyncio
import contextlib
import struct
from datetime import UTC, datetime
from uuid import uuid4

import aiormq
import orjson
import pytest
from pamqp import commands
from pamqp.header import ContentHeader

from tests.waiting import SECONDS, until
from tts.ports.errors import Unavailable
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import RabbitMQ, codec, topology

OURS = codec.encode(Message(Destination.WORK, uuid4(), attempt=1, position=1))


def a_body(**changes) -> bytes:
    fields = {"taskId": str(uuid4()), "attempt": 1, "position": 2}
    return orjson.dumps({**fields, **changes})


def long_string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def header(name: bytes, value: bytes) -> bytes:
    """The property ``headers`` with one header, whose value begins with its type."""
    return long_string(bytes([len(name)]) + name + value)


def nested(depth: int, value: bytes = b"V") -> bytes:
    """Tables in tables, all with the name ``a``."""
    for _ in range(depth):
        value = b"F" + long_string(b"\x01a" + value)
    return value


TIMESTAMP, HEADERS, MESSAGE_ID, CONTENT_TYPE = 1 << 6, 1 << 13, 1 << 7, 1 << 15
NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())

# Properties as they stand on the wire: flags, and the values in the order of the flags.
PROPERTIES = {
    "timestamp in microseconds": (TIMESTAMP, struct.pack(">Q", NOW * 1_000_000)),
    "timestamp in nanoseconds": (TIMESTAMP, struct.pack(">Q", NOW * 1_000_000_000)),
    "greatest timestamp": (TIMESTAMP, b"\xff" * 8),
    "negative time in a header": (HEADERS, header(b"at", b"T" + struct.pack(">q", -1))),
    "late time in a nested table": (HEADERS, header(b"a", nested(3, b"T" + b"\xff" * 8))),
    "deeply nested tables": (HEADERS, header(b"a", nested(2000))),
    "header's name no utf-8": (HEADERS, header(b"\xff\xfe", b"V")),
    "single float": (HEADERS, header(b"f", b"f" + struct.pack(">f", 1.5))),
    "decimal": (HEADERS, header(b"D", b"D" + b"\xff" + b"\xff" * 4)),
    "bytes": (HEADERS, header(b"x", b"x" + long_string(b"\x00\xff"))),
    "long header": (HEADERS, header(b"s", b"S" + long_string(b"s" * 60_000))),
    "someone's x-death": (HEADERS, header(b"x-death", b"l" + b"\x00" * 8)),
    "our own mark": (HEADERS, header(b"x-unreadable", b"V")),
    "message id no utf-8": (MESSAGE_ID, b"\x02\xff\xfe"),
    "content type no utf-8": (CONTENT_TYPE, b"\x02\xff\xfe"),
}
BODIES = {
    "empty": b"",
    "garbage": b"\x00\xff?",
    "text": "你好".encode(),
    "list": b"[]",
    "null": b"null",
    "number": b"1e999",
    "deep": b"[" * 5000,
    "another service's": orjson.dumps({"taskId": "7", "templateId": "t", "tts_text": "…"}),
    "no position": a_body(position=None),
    "negative position": a_body(position=-1),
    "position beyond any log": a_body(position=2**64 - 1),
    "attempt a fraction": a_body(attempt=0.5),
    "attempt a truth": a_body(attempt=True),
    "attempt a text": a_body(attempt="1"),
    "task id a number": a_body(taskId=7),
    "long": b"x" * 300_000,
}


class Raw(commands.Basic.Properties):
    """Properties that are sent as they are."""

    def __init__(self, flags: int, values: bytes) -> None:
        super().__init__()
        self.wire = struct.pack(">H", flags) + values

    def marshal(self) -> bytes:
        """As they are."""
        return self.wire


class RawKey(str):
    """A routing key that is no UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """What stands for it on the wire."""
        return b"\xff\xfe\xfd"


@contextlib.asynccontextmanager
async def a_channel(url: str):
    connection = await aiormq.connect(url)
    yield await connection.channel()
    await connection.close()


async def put(url: str, queue: str, body: bytes, properties=None) -> None:
    async with a_channel(url) as channel:
        await channel.basic_publish(body, routing_key=queue, properties=properties)


@pytest.fixture
def url(rabbitmq):
    return rabbitmq.create_vhost()


@pytest.fixture
async def queue(url):
    made = RabbitMQ(url, timeout=SECONDS)
    await made.depth()  # declares the queues
    yield made
    await made.aclose()


async def all_is_well(queue: RabbitMQ, dead: int) -> None:
    """What was published behind the poison arrives, and the poison lies where people look."""
    await queue.publish(Message(Destination.WORK, uuid4(), attempt=1, position=77))
    await queue.publish(Message(Destination.RETRY, uuid4(), attempt=1, position=78))
    positions = set()
    async with queue.deliveries(2) as deliveries, asyncio.timeout(SECONDS):
        while not {77, 78} <= positions:
            delivery = await anext(deliveries)
            positions.add(delivery.message.position)
            await delivery.ack()

    async def moved() -> bool:
        depth = await queue.depth()
        return depth == {topology.WORK: 0, topology.RETRY: 0, topology.DEAD_LETTER: dead}

    await until(moved, f"{dead} dead letters, and nothing else is left")


@pytest.mark.parametrize("kind", [topology.WORK, topology.RETRY])
async def test_properties_that_cannot_be_decoded_stop_nobody(url, queue, kind, caplog):
    """Those of garbage with our body are dead letters or are worked on; consuming never ends."""
    for flags, values in PROPERTIES.values():
        await put(url, kind, OURS, Raw(flags, values))
    await all_is_well(queue, dead=unreadable())
    assert "becomes a dead letter" in caplog.text
    assert "interrupted" not in caplog.text


def unreadable() -> int:
    """How many of the properties pamqp refuses, apart from the one with our own mark."""
    count = 1
    for flags, values in PROPERTIES.values():
        try:
            ContentHeader().unmarshal(struct.pack(">HHQH", 60, 0, 0, flags) + values)
        except Exception:  # noqa: BLE001 -- that is the question
            count += 1
    return count


@pytest.mark.parametrize("kind", [topology.WORK, topology.RETRY])
async def test_bodies_of_others_become_dead_letters(url, queue, kind, caplog):
    """Each with a line that says what is wrong, and quotes none of it."""
    for body in BODIES.values():
        await put(url, kind, body)
    await all_is_well(queue, dead=len(BODIES))
    assert caplog.text.count("becomes a dead letter") == len(BODIES)
    assert "你好" not in caplog.text


async def test_a_routing_key_that_cannot_be_decoded_stops_nobody(url, queue):
    """It names nothing that we need, so the message is worked on."""
    async with a_channel(url) as channel:
        await channel.exchange_declare("others", exchange_type="fanout")
        await channel.queue_bind(topology.WORK, "others")
        await channel.basic_publish(a_body(), exchange="others", routing_key=RawKey())
    await all_is_well(queue, dead=0)


async def test_a_message_that_ends_each_of_its_consumers_is_given_up(url, queue):
    """After 20 returns it is a dead letter; one that is worked on before is not."""
    await queue.publish(Message(Destination.WORK, uuid4(), attempt=1, position=1))
    limit = topology.FIXED[topology.WORK][topology.DELIVERY_LIMIT]
    returns = 0

    async def comes_or_is_given_up() -> bool:
        return taking.done() or (await queue.depth())[topology.DEAD_LETTER] > 0

    async with queue.deliveries(1) as deliveries:
        taking = asyncio.ensure_future(anext(deliveries))
        while await until(comes_or_is_given_up) and taking.done():
            returns += 1
            await taking.result().release()
            taking = asyncio.ensure_future(anext(deliveries))
        taking.cancel()
    assert returns == limit + 1
    await all_is_well(queue, dead=1)


async def test_queues_of_an_earlier_version_are_used_as_they_are(url):
    """Another delivery limit is a note of health, and nothing fails."""
    arguments = {**topology.FIXED[topology.WORK], topology.DELIVERY_LIMIT: 1_000_000}
    async with a_channel(url) as channel:
        for name in (topology.WORK, topology.RETRY):
            await channel.queue_declare(name, durable=True, arguments=arguments)
    queue = RabbitMQ(url, timeout=SECONDS)
    await queue.depth()
    await all_is_well(queue, dead=0)
    await queue.healthy()
    assert [note for note in queue.notes if "1000000" in note and topology.WORK in note]
    await queue.aclose()


async def test_a_classic_queue_of_the_same_name_is_said_in_health(url):
    """The replaced service left one: what is wrong, and what mends it."""
    async with a_channel(url) as channel:
        await channel.queue_declare(topology.RETRY, durable=True)
    queue = RabbitMQ(url, timeout=SECONDS)

    async def reason() -> bool:
        with pytest.raises(Unavailable) as refused:
            await queue.healthy()
        return "inequivalent arg" in refused.value.public and topology.RETRY in refused.value.public

    async with queue.deliveries(1):
        await until(reason, "health names the queue and the argument")
        with pytest.raises(Unavailable, match="tts migrate rabbitmq"):
            await queue.publish(Message(Destination.WORK, uuid4(), attempt=1, position=1))
    await queue.aclose()
