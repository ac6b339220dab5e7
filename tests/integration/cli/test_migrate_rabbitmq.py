"""The queues of an older service become what this one needs, and no message is lost."""

import asyncio
from uuid import uuid4

import aiormq
import orjson
import pytest
from click.testing import CliRunner
from pamqp.commands import Basic

from tts.cli.commands import main
from tts.ports.queue import Destination, Message
from tts.queue.rabbitmq import RabbitMQ, codec, topology

OLD = topology.RETRY + ".old"
OTHERS = [orjson.dumps({"taskId": f"task_{n}", "templateId": "t1"}) for n in range(3)]


@pytest.fixture
def url(rabbitmq):
    return rabbitmq.create_vhost()


@pytest.fixture
def run(monkeypatch, url):
    monkeypatch.setenv("RABBITMQ_URL", url)

    async def run_command() -> str:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "rabbitmq"])
        assert result.exit_code == 0, result.output
        return result.output

    return run_command


@pytest.fixture
async def channel(url):
    connection = await aiormq.connect(url)
    yield await connection.channel()
    await connection.close()


async def bodies(channel, queue: str) -> list[bytes]:
    """What is in the queue, which is empty then."""
    found = []
    while isinstance(
        (message := await channel.basic_get(queue, no_ack=True)).delivery, Basic.GetOk
    ):
        found.append(message.body)
    return found


async def test_a_classic_queue_of_the_replaced_service(run, url, channel):
    """It is made anew; its messages wait beside it, even those that would have expired."""
    await channel.queue_declare(topology.RETRY, durable=True)
    for body in OTHERS:
        properties = Basic.Properties(expiration="3600000", delivery_mode=2)
        await channel.basic_publish(body, routing_key=topology.RETRY, properties=properties)
    told = await run()
    assert "tts_retry_queue was made anew: PRECONDITION_FAILED" in told
    assert "3 messages are not of this service, whose log knows no task of theirs" in told
    assert OLD in told
    queue = RabbitMQ(url)
    await queue.healthy()
    assert queue.notes == []
    await queue.aclose()
    assert "made anew" not in await run()
    kept = await channel.basic_get(OLD)
    assert kept.header.properties.expiration is None
    await channel.basic_nack(kept.delivery_tag, requeue=True)
    assert sorted(await bodies(channel, OLD)) == OTHERS


async def test_queues_of_an_earlier_version_keep_their_messages(run, url, channel):
    """Ours are in the new queue, and nothing is left beside it."""
    arguments = {**topology.FIXED[topology.WORK], topology.DELIVERY_LIMIT: 1_000_000}
    await channel.queue_declare(topology.WORK, durable=True, arguments=arguments)
    message = Message(Destination.WORK, uuid4(), attempt=1, position=7)
    await channel.basic_publish(codec.encode(message), routing_key=topology.WORK)
    assert "1 messages of this service are in it again" in await run()
    queue = RabbitMQ(url)
    async with queue.deliveries(1) as deliveries, asyncio.timeout(20):
        delivery = await anext(deliveries)
        assert delivery.message == message
        await delivery.ack()
    assert queue.notes == []
    await queue.aclose()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await channel.queue_declare(topology.WORK + ".old", passive=True)


async def test_a_queue_that_is_in_use_is_left_alone(monkeypatch, url, channel):
    """The command says what to stop, and can be run again."""
    monkeypatch.setenv("RABBITMQ_URL", url)
    await channel.queue_declare(topology.RETRY, durable=True)
    consumer = await channel.basic_consume(topology.RETRY, lambda _: None)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "rabbitmq"])
    assert result.exit_code == 1
    assert "tts_retry_queue is still in use: stop relay and processors" in result.output
    await channel.basic_cancel(consumer.consumer_tag)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "rabbitmq"])
    assert result.exit_code == 0


def test_without_a_broker_there_is_nothing_to_do(monkeypatch):
    """It says which setting is missing."""
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    result = CliRunner().invoke(main, ["migrate", "rabbitmq"])
    assert result.exit_code != 0
    assert "RABBITMQ_URL is not set" in result.output
