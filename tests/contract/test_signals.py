"""Signals: whoever listens hears every word, in whichever process it is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.services.postgres import Postgres
from tts.ports.coordination import Signals
from tts.processor.wakeups import Wakeups
from tts.store.memory import LocalSignals
from tts.store.postgres import PostgresStore
from tts.store.signals import PostgresSignals

PATIENCE_SECONDS = 20


async def on_postgres(url: str, stack: AsyncExitStack) -> PostgresSignals:
    store = PostgresStore(url)
    await store.open()
    stack.push_async_callback(store.aclose)
    return PostgresSignals(store.server, store.listening)


@pytest.fixture(params=["local", "postgres"])
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[list[Signals]]:
    """The signals as three processes have them; embedded, there is but one."""
    if request.param == "local":
        yield [LocalSignals()] * 3
        return
    url = request.getfixturevalue("postgres").create_database()
    async with AsyncExitStack() as stack:
        yield [await on_postgres(url, stack) for _ in range(3)]


@contextlib.asynccontextmanager
async def listening(signals: Signals) -> AsyncIterator[asyncio.Queue[str]]:
    """The words that it hears."""
    words: asyncio.Queue[str] = asyncio.Queue()
    begun = asyncio.Event()
    listening = asyncio.create_task(signals.listen(words.put_nowait, begun.set))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await begun.wait()
    yield words
    listening.cancel()
    await asyncio.wait([listening])


async def take(words: asyncio.Queue[str], count: int) -> list[str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await words.get() for _ in range(count)]


async def test_everybody_who_listens_hears_every_word_in_order(processes: list[Signals]):
    """Whoever sent it, the sender included; the same word twice is heard twice."""
    sender, one, two = processes
    said = [f"word{n}" for n in range(50)] + ["again", "again", "x" * 100]
    async with listening(sender) as own, listening(one) as first, listening(two) as second:
        for word in said:
            await sender.send(word)
        for words in (own, first, second):
            assert await take(words, len(said)) == said


async def test_what_was_said_before_is_not_heard(processes: list[Signals]):
    """A signal is no queue; and nobody has to listen."""
    sender, one, _ = processes
    await sender.send("early")
    async with listening(one) as words:
        await sender.send("now")
        assert await take(words, 1) == ["now"]
    await sender.send("late")


async def test_who_listens_a_second_time_hears_too(processes: list[Signals]):
    """The first one goes on hearing, also when the second has gone."""
    sender, one, _ = processes
    async with listening(one) as first:
        async with listening(one) as second:
            await sender.send("both")
            assert (await take(first, 1), await take(second, 1)) == (["both"], ["both"])
        await sender.send("first")
        assert await take(first, 1) == ["first"]


async def test_who_waits_is_woken_when_words_may_be_lost(postgres: Postgres):
    """A connection that broke is made anew, and who waits then is woken after it."""
    url = postgres.create_database()
    async with AsyncExitStack() as stack:
        one, other = [await on_postgres(url, stack) for _ in range(2)]
        wakeups = Wakeups()
        waking = asyncio.create_task(wakeups.run(one))
        async with asyncio.timeout(PATIENCE_SECONDS):
            with wakeups.expect("a") as woken:
                while not woken.is_set():
                    await other.send("a")
                    await asyncio.sleep(0.05)
            with wakeups.expect("lost") as woken:
                await asyncio.to_thread(postgres.terminate_backends, url, query="LISTEN%")
                await woken.wait()
            with wakeups.expect("again") as woken:
                await other.send("again")
                await woken.wait()
        waking.cancel()


async def sessions(store: PostgresStore) -> int:
    """How many listen; each has said so last, until a silence is looked into."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid != pg_backend_pid() AND query LIKE 'LISTEN%%'"
    )
    ((count,),) = await store.server.query(sql, ())
    return count


async def test_a_process_listens_in_one_session(postgres: Postgres):
    """Each more would be woken, for a transaction, by every event."""
    url = postgres.create_database()
    async with AsyncExitStack() as stack:
        store = PostgresStore(url)
        await store.open()
        stack.push_async_callback(store.aclose)
        signals = PostgresSignals(store.server, store.listening)
        following = [asyncio.ensure_future(anext(store.follow(0))) for _ in range(2)]
        async with listening(signals) as words:
            await signals.send("word")
            assert await take(words, 1) == ["word"]
            while await sessions(store) != 1:  # one that a further channel ends may last a moment
                await asyncio.sleep(0.05)
        for each in following:
            each.cancel()
        await asyncio.wait(following)
