"""What the relay and the processors may rely on, whichever queue lies between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import aio_pika
import pytest

from tests.services.ports import free_port
from tests.traffic import Traffic
from tests.waiting import until
from tts.ports.errors import Unavailable
from tts.ports.queue import Delivery, Destination, Message
from tts.queue.memory import MemoryQueue
from tts.queue.rabbitmq import RabbitMQ, topology

SECONDS = 20  # until what is waited for counts as lost
QUIET_SECONDS = 0.3  # how long nothing has to come to count as nothing
LATE_SECONDS = 10.0  # of a machine that has other work; what hangs does so for ever
HOUR = 3600.0  # nobody waits so long


def a_message(position: int = 1, **changes) -> Message:
    fields = {"destination": Destination.WORK, "task_id": uuid4(), "attempt": 1}
    return Message(**{**fields, "position": position, **changes})


def a_retry(delay: float, position: int = 1) -> Message:
    return a_message(position, destination=Destination.RETRY, attempt=2, delay=delay)


async def take(deliveries: AsyncIterator[Delivery], count: int = 1) -> list[Delivery]:
    async with asyncio.timeout(SECONDS):
        return [await anext(deliveries) for _ in range(count)]


async def take_and_ack(deliveries: AsyncIterator[Delivery], count: int = 1) -> list[int]:
    taken = []
    for _ in range(count):
        [delivery] = await take(deliveries)
        await delivery.ack()
        taken.append(delivery.message.position)
    return taken


@contextlib.asynccontextmanager
async def nothing_more(deliveries: AsyncIterator[Delivery]) -> AsyncIterator[asyncio.Task]:
    """Nothing comes before the block; the task yielded has what comes after it."""
    more = asyncio.ensure_future(anext(deliveries))
    done, _ = await asyncio.wait([more], timeout=QUIET_SECONDS)
    assert not done
    yield more
    async with asyncio.timeout(SECONDS):
        await more


@pytest.fixture
def url(rabbitmq):
    return rabbitmq.create_vhost()


@pytest.fixture
async def broker(url):
    made = RabbitMQ(url)
    yield made
    await made.aclose()


async def dead_letter(queue) -> Message | aio_pika.abc.AbstractIncomingMessage:
    """The one dead letter, as a person would find it."""
    if isinstance(queue, MemoryQueue):
        [message] = queue.dead_letters
        return message
    async with await aio_pika.connect(queue._url) as connection:
        inbox = await (await connection.channel()).get_queue(topology.DEAD_LETTER)
        found = await inbox.get(timeout=SECONDS)
        await found.ack()
        return found


# --- both queues


async def test_a_message_arrives_as_it_was_published(queue):
    """The task, the attempt and the position reach the consumer unchanged."""
    message = a_message(position=12, attempt=3)
    async with queue.deliveries(1) as deliveries:
        await queue.publish(message)
        [delivery] = await take(deliveries)
        assert delivery.message == message
        assert not delivery.redelivered
        await delivery.ack()


async def test_messages_come_in_the_order_of_publication(queue):
    """First in, first out, as long as nothing is given back."""
    for position in range(30):
        await queue.publish(a_message(position))
    async with queue.deliveries(10) as deliveries:
        assert await take_and_ack(deliveries, 30) == list(range(30))


async def test_a_settled_message_never_comes_again(queue):
    """An ack outlives the consumer, even one that leaves right after it."""
    for position in range(20):
        await queue.publish(a_message(position))
    async with queue.deliveries(20) as deliveries:
        await take_and_ack(deliveries, 20)
    await queue.publish(a_message(99))
    async with queue.deliveries(20) as deliveries:
        assert await take_and_ack(deliveries) == [99]


async def test_a_released_message_comes_again_and_says_so(queue):
    """What a processor gives back is delivered anew, marked as redelivered."""
    await queue.publish(a_message(5))
    async with queue.deliveries(1) as deliveries:
        [first] = await take(deliveries)
        await first.release()
        [second] = await take(deliveries)
        assert second.message == first.message
        assert second.redelivered
        await second.ack()


async def test_what_a_leaving_consumer_holds_goes_to_the_next(queue):
    """Unsettled messages come again, in order, and settling them late disturbs nobody."""
    for position in range(4):
        await queue.publish(a_message(position))
    async with queue.deliveries(4) as deliveries:
        held = await take(deliveries, 4)
    async with queue.deliveries(4) as deliveries:
        again = await take(deliveries, 4)
        assert [d.message.position for d in again] == [0, 1, 2, 3]
        assert all(d.redelivered for d in again)
        await held[0].ack()
        await held[1].release()
        async with nothing_more(deliveries):
            await queue.publish(a_message(9))
            for delivery in again:
                await delivery.ack()


async def test_no_more_than_the_limit_is_unsettled(queue):
    """A consumer of three at a time gets the fourth when it has settled one."""
    for position in range(5):
        await queue.publish(a_message(position))
    async with queue.deliveries(3) as deliveries:
        held = await take(deliveries, 3)
        async with nothing_more(deliveries) as more:
            await held[1].ack()
        assert more.result().message.position == 3


async def test_the_limit_holds_for_work_and_retries_apart(queue):
    """A full load of work does not keep a due retry from being delivered."""
    await queue.publish(a_message(1))
    await queue.publish(a_message(2))
    async with queue.deliveries(1) as deliveries:
        [work] = await take(deliveries)
        assert work.message.destination is Destination.WORK
        await queue.publish(a_retry(delay=0))
        [retry] = await take(deliveries)
        assert retry.message.destination is Destination.RETRY


async def test_two_consumers_share_the_work(queue):
    """Each message is in the hands of one consumer alone."""
    for position in range(6):
        await queue.publish(a_message(position))
    async with queue.deliveries(3) as some, queue.deliveries(3) as others:
        taken = await take(some, 3) + await take(others, 3)
        assert sorted(d.message.position for d in taken) == list(range(6))


async def test_a_retry_is_never_early_and_not_much_late(queue):
    """Each delay counts from its own publication; a long one never holds a short one up."""
    delays = [0.7, 0.1, 0.4, 0.2, 0.1]
    started = {}
    async with queue.deliveries(10) as deliveries:
        for delay in (HOUR, *delays):
            message = a_retry(delay)
            started[message.task_id] = (time.monotonic(), delay)
            await queue.publish(message)
        published = time.monotonic()
        for delivery in await take(deliveries, len(delays)):
            start, delay = started.pop(delivery.message.task_id)
            assert time.monotonic() - start >= delay
            assert delivery.message.attempt == 2
            await delivery.ack()
    assert time.monotonic() - published < max(delays) + LATE_SECONDS
    assert [delay for _, delay in started.values()] == [HOUR]


async def test_a_retry_that_waits_is_in_nobodys_hands(queue):
    """A waiting retry takes no place of the limit, and what comes later passes it."""
    await queue.publish(a_retry(HOUR))
    async with queue.deliveries(1) as deliveries:
        await queue.publish(a_message(2))
        await queue.publish(a_retry(delay=0, position=3))
        assert {d.message.position for d in await take(deliveries, 2)} == {2, 3}


async def test_a_dead_letter_arrives_with_its_headers(queue):
    """Who looks at the dead letters sees the task and the reason; no consumer gets them."""
    message = a_message(
        7, destination=Destination.DEAD_LETTER, headers={"code": "nsfw", "attempts": 2}
    )
    await queue.publish(message)
    async with queue.deliveries(1) as deliveries, nothing_more(deliveries):
        found = await dead_letter(queue)
        if isinstance(found, Message):
            assert found == message
        else:
            assert {**found.headers, **message.headers} == found.headers
            assert json.loads(found.body)["taskId"] == str(message.task_id)
            assert found.message_id == f"{message.task_id}:7"
            assert found.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        await queue.publish(a_message())


async def test_ready_counts_what_waits_for_a_consumer(queue):
    """By kind; neither a delayed retry nor what a consumer holds is among it."""
    for position in range(3):
        await queue.publish(a_message(position))
    await queue.publish(a_retry(delay=0))
    await queue.publish(a_retry(HOUR))

    async def counted(work: int, retry: int) -> bool:
        # A broker that is busy tells an older number.
        return await queue.ready() == {
            Destination.WORK: work,
            Destination.RETRY: retry,
            Destination.DEAD_LETTER: 0,
        }

    await until(lambda: counted(3, 1), "all that is due counts")
    async with queue.deliveries(2) as deliveries:
        held = await take(deliveries, 3)
        await until(lambda: counted(1, 0), "what a consumer holds does not count")
        for delivery in held:
            await delivery.ack()


async def test_a_new_queue_is_unmarked_until_it_is_marked(queue):
    """Publishing and consuming leave no mark; only marking does."""
    await queue.publish(a_message(1))
    async with queue.deliveries(1) as deliveries:
        await take_and_ack(deliveries)
    assert not await queue.marked()
    await queue.mark()
    assert await queue.marked()


# --- RabbitMQ: outages


@pytest.fixture
async def traffic(broker):
    made = Traffic(broker)
    running = asyncio.create_task(made.run())
    await made.flows()
    yield made
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def healthy(broker):
    async def answers() -> bool:
        try:
            await broker.healthy()
        except Unavailable:
            return False
        return True

    return answers


@pytest.mark.parametrize("crash", [False, True], ids=["shutdown", "crash"])
async def test_a_broker_that_comes_back_finds_its_consumers(rabbitmq, url, broker, traffic, crash):
    """No confirmed message is lost, no consumer stays deaf, and health tells of the outage.

    Nor is it rebuilt, whoever asks: it has kept its data, and the mark.
    """
    await broker.healthy()
    assert not await broker.marked()
    await broker.mark()
    # A queue that is seconds old does not survive the crash of its only node: RabbitMQ writes some
    # of what it knows of it down later.
    for sync in ("mnesia:sync_log().", "[dets:sync(Table) || Table <- dets:all()]."):
        await asyncio.to_thread(rabbitmq.evaluate, sync)
    await asyncio.to_thread(rabbitmq.halt, crash=crash)
    with pytest.raises(Unavailable):
        await broker.healthy()
    await asyncio.to_thread(rabbitmq.start)
    await traffic.flows()
    await until(healthy(broker), "health is well again")
    other = RabbitMQ(url)
    for each in (broker, other):
        assert await each.marked()
    await other.aclose()


async def test_closed_connections_are_opened_again(rabbitmq, broker, traffic):
    """An operator who closes all connections interrupts nothing for good."""
    for _ in range(3):
        await asyncio.to_thread(rabbitmq.close_connections)
        await traffic.flows()
    await broker.healthy()


async def test_deleted_queues_are_declared_again(rabbitmq, url, traffic):
    """A consumer that the broker canceled, and a publication that nothing takes, both recover."""
    for name in (topology.WORK, topology.RETRY):
        await asyncio.to_thread(rabbitmq.delete_queue, url, name)
    traffic.confirmed &= traffic.received  # what lay in the queue went with it
    await traffic.flows()


async def test_a_consumer_that_held_a_message_too_long_recovers(rabbitmq, broker):
    """The broker closes the channel; the message comes again, and the late ack is harmless."""
    limits = "application:set_env(rabbit, consumer_timeout, {}), "
    limits += "application:set_env(rabbit, channel_tick_interval, {})."
    await asyncio.to_thread(rabbitmq.evaluate, limits.format(500, 200))
    try:
        await broker.publish(a_message(1))
        async with broker.deliveries(1) as deliveries:
            [held] = await take(deliveries)
            [again] = await take(deliveries)
            assert again.message == held.message
            assert again.redelivered
            await held.ack()
            await again.ack()
            await broker.publish(a_message(2))
            # A machine that was busy until now has held it for too long once more.
            while (taken := await take_and_ack(deliveries)) != [2]:
                assert taken == [1]
    finally:
        await asyncio.to_thread(rabbitmq.evaluate, limits.format(1_800_000, 60_000))


async def test_a_broker_that_lost_its_connection_is_not_marked_blindly(rabbitmq, broker):
    """Between looking and marking it may have lost its data: it must be looked at again."""
    assert not await broker.marked()

    async def closed() -> bool:
        await asyncio.to_thread(rabbitmq.close_connections)
        return broker._link.channel.is_closed

    await until(closed, "the connection is gone")
    with pytest.raises(Unavailable):
        await broker.mark()
    await broker.publish(a_message(1))
    with pytest.raises(Unavailable):
        await broker.mark()
    assert not await broker.marked()
    await broker.mark()
    assert await broker.marked()


_HOLD = """
import asyncio, sys
from tts.queue.rabbitmq import RabbitMQ

async def hold():
    async with RabbitMQ(sys.argv[1]).deliveries(5) as deliveries:
        await anext(deliveries)
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_what_a_killed_consumer_held_is_delivered_again(url, broker):
    """A processor that is killed with -9 loses no message."""
    await broker.publish(a_message(3))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, url, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline() == b"held\n"
    process.kill()
    await process.wait()
    async with broker.deliveries(1) as deliveries:
        [delivery] = await take(deliveries)
        assert (delivery.message.position, delivery.redelivered) == (3, True)
        await delivery.ack()


@contextlib.contextmanager
def _silent_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def _no_server():
    yield free_port()


@pytest.mark.parametrize("server", [_no_server, _silent_server])
async def test_publishing_to_a_broker_that_is_away_fails_in_time(server):
    """Nobody listens, or somebody listens and never answers: Unavailable within the timeout."""
    with server() as port:
        queue = RabbitMQ(f"amqp://guest:guest@127.0.0.1:{port}/", timeout=0.5)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await queue.publish(a_message())
        assert time.monotonic() - started < LATE_SECONDS
        await queue.aclose()


async def test_a_broker_that_takes_nothing_is_unavailable_until_it_does(rabbitmq, url):
    """A memory alarm blocks publishers: the call ends in time, and later ones succeed."""
    queue = RabbitMQ(url, timeout=1)
    took = 0.0

    async def published() -> bool:
        nonlocal took
        started = time.monotonic()
        try:
            await queue.publish(a_message())
        except Unavailable:
            return False
        finally:
            took = time.monotonic() - started
        return True

    async def refused() -> bool:
        return not await published()

    await until(published, "the connection is there")
    await asyncio.to_thread(rabbitmq.set_memory_limit, 0.0)
    try:
        await until(refused, "the alarm has reached the connection")
        assert took < 1 + LATE_SECONDS
    finally:
        await asyncio.to_thread(rabbitmq.set_memory_limit, 0.4)
    await until(published, "publishing works again")
    await queue.aclose()


async def test_many_publications_at_once_are_each_confirmed(broker):
    """What was confirmed is in the queue, all of it."""
    await asyncio.gather(*(broker.publish(a_message(n)) for n in range(300)))

    async def all_are_there() -> bool:
        return (await broker.depth())[topology.WORK] == 300

    await until(all_are_there, "all are in the queue")


# --- RabbitMQ: the queues themselves


async def test_a_message_that_nobody_can_read_becomes_a_dead_letter(url, broker):
    """It neither blocks the queue nor vanishes."""
    await broker.depth()  # declares the queues
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"?"), topology.WORK)
    await broker.publish(a_message(8))
    async with broker.deliveries(1) as deliveries:
        assert await take_and_ack(deliveries) == [8]

        async def moved() -> bool:
            return (await broker.depth())[topology.DEAD_LETTER] == 1

        await until(moved, "it lies with the dead letters")
    assert (await dead_letter(broker)).body == b"?"
