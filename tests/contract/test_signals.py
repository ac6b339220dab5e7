"""Signals: whoever listens hears every word, in whichever process it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.services.postgres import Postgres
from tts.ports.coordination import Signals
from tts.ports.errors import Unavailable
from tts.processor.wakeups import Wakeups
from tts.store.memory import LocalSignals
from tts.store.postgres import PostgresStore
from tts.store.signals import PostgresSignals

PATIENCE_SECONDS = 20


async def on_postgres(url: str, stack: AsyncExitStack) -> PostgresSignals:
    store = PostgresStore(url)
    await store.open()
    stack.push_async_callback(store.aclose)
    return PostgresSignals(store.server)


@pytest.fixture(params=["local", "postgres"])
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[list[Signals]]:
    """The signals as three processes have them; embedded, there is but one."""
    if request.param == "local":
        yield [LocalSignals()] * 3
        return
    url = request.getfixturevalue("postgres").create_database()
    async with AsyncExitStack() as stack:
        yield [await on_postgres(url, stack) for _ in range(3)]


async def take(words: AsyncIterator[str], count: int) -> list[str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await anext(words) for _ in range(count)]


async def test_everybody_who_listens_hears_every_word_in_order(processes: list[Signals]):
    """Whoever sent it, the sender included; the same word twice is heard twice."""
    sender, one, two = processes
    said = [f"word{n}" for n in range(50)] + ["again", "again", "x" * 100]
    async with sender.listen() as own, one.listen() as first, two.listen() as second:
        for word in said:
            await sender.send(word)
        for words in (own, first, second):
            assert await take(words, len(said)) == said


async def test_what_was_said_before_is_not_heard(processes: list[Signals]):
    """A signal is no queue; and nobody has to listen."""
    sender, one, _ = processes
    await sender.send("early")
    async with one.listen() as words:
        await sender.send("now")
        assert await take(words, 1) == ["now"]
    await sender.send("late")


async def test_who_listens_learns_that_words_may_be_lost(postgres: Postgres):
    """A connection that broke ends the listening, and who waits then is woken after it."""
    url = postgres.create_database()
    async with AsyncExitStack() as stack:
        one, other = [await on_postgres(url, stack) for _ in range(2)]
        with pytest.raises(Unavailable):  # noqa: PT012 -- the words fail, not the listening
            async with one.listen() as words:
                await asyncio.to_thread(postgres.terminate_backends, url, query="LISTEN%")
                await take(words, 1)
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
        waking.cancel()
