"""Shared documents: one process or many, no change is lost."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.waiting import SECONDS
from tts.domain.failures import StepError
from tts.gate.gate import Gate
from tts.gate.state import Limits
from tts.ports.errors import Unavailable
from tts.store.documents import PostgresDocuments
from tts.store.memory import MemoryDocuments
from tts.store.postgres import PostgresStore


@contextlib.asynccontextmanager
async def on_postgres(url: str, processes: int):
    stores = [PostgresStore(url) for _ in range(processes)]
    for store in stores:
        await store.open()
    try:
        yield [PostgresDocuments(store.server) for store in stores]
    finally:
        for store in stores:
            await store.aclose()


@pytest.fixture(params=["memory", "postgres"])
async def processes(request):
    """The documents as three processes have them; embedded, there is but one."""
    if request.param == "memory":
        yield [MemoryDocuments()] * 3
        return
    url = request.getfixturevalue("postgres").create_database()
    async with on_postgres(url, 3) as documents:
        yield documents


def count(document: bytes, _now: float) -> tuple[bytes, int]:
    number = int(document or b"0") + 1
    return str(number).encode(), number


async def test_no_change_is_lost_however_many_come_at_once(processes):
    """Each sees what the one before it made."""
    numbers = await asyncio.gather(
        *(documents.update("counter", count) for documents in processes for _ in range(20))
    )
    assert sorted(numbers) == list(range(1, 61))


async def test_documents_do_not_meddle_with_each_other(processes):
    """Each has its name."""
    await processes[0].update("a", count)
    assert await processes[1].update("a", count) == 2
    assert await processes[1].update("b", count) == 1


async def test_who_has_written_alone_learns_that_somebody_else_has_written(processes):
    """However often it was alone before, also when the other one has put things back by hand."""
    first, second, _ = processes
    for number in range(1, 5):
        assert await first.update("a", count) == number
    assert await second.update("a", lambda *_: (b"40", None)) is None
    assert await first.update("a", count) == 41


async def test_a_document_that_was_taken_away_begins_anew(postgres):
    """An operator resets what the processes share; a process must not bring it back."""
    url = postgres.create_database()
    async with on_postgres(url, 1) as (documents,):
        for number in range(1, 5):
            assert await documents.update("a", count) == number
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM shared_documents")
        assert await documents.update("a", count) == 1
        for number in range(2, 5):
            assert await documents.update("a", count) == number
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE shared_documents SET body = '7'")
        assert await documents.update("a", count) == 8


async def test_who_writes_alone_does_not_read(postgres):
    """One statement for each change, of which a task takes two."""
    async with on_postgres(postgres.create_database(), 1) as (documents,):
        for _ in range(2):
            await documents.update("a", count)
        asked, query = [], documents._server.query

        async def noted(sql, params):
            asked.append(sql)
            return await query(sql, params)

        documents._server.query = noted
        assert await documents.update("a", count) == 3
        assert len(asked) == 1


async def test_looking_changes_nothing_and_tells_the_time(processes):
    """In seconds since 1970, by one clock for all."""
    now = await processes[0].update("a", lambda document, now: (document, now))
    assert abs(now - time.time()) < 60
    assert await processes[2].update("a", lambda document, _: (document, document)) == b""


async def test_what_the_change_raises_leaves_the_document_alone(processes):
    """And comes out."""
    await processes[0].update("a", count)
    with pytest.raises(ZeroDivisionError):
        await processes[0].update("a", lambda *_: 1 / 0)
    assert await processes[1].update("a", count) == 2


async def test_a_server_that_is_away_is_said_to_be(postgres):
    """Nothing was changed, or perhaps it was: the caller asks again."""
    async with on_postgres(postgres.create_database(), 1) as (documents,):
        await documents._server.aclose()
        with pytest.raises(Unavailable):
            await documents.update("a", count)


SOON = timedelta(seconds=2 * SECONDS)
QUIET_SECONDS = 1.0  # in which whoever may come has come: four looks at the gate


async def test_after_a_trip_one_probe_runs_over_all_processes(processes):
    """Three processes ask at once, and the others wait for its outcome."""
    gates = [Gate(documents, Limits()) for documents in processes]
    until = datetime.now(UTC) + SOON
    assert await gates[0].admit("first", until=until, changed=asyncio.Event())
    refusal = StepError("replicate_payment_required", "create", "no credit")
    await gates[0].settle("first", refusal)
    assert (await gates[2].state())["state"] == "open"
    waiting = [
        asyncio.create_task(gate.admit(str(n), until=until, changed=asyncio.Event()))
        for n, gate in enumerate(gates)
    ]
    async with asyncio.timeout(SECONDS):
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    done, pending = await asyncio.wait(waiting, timeout=QUIET_SECONDS)
    assert (len(done), len(pending)) == (1, 2)
    probe = waiting.index(done.pop())
    await gates[probe].settle(str(probe), None)
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_what_is_in_flight_is_bounded_over_all_processes(processes):
    """A place that one gives back is taken by another."""
    gates = [Gate(documents, Limits(in_flight=4)) for documents in processes]
    until = datetime.now(UTC) + SOON
    running = most = 0

    async def speak(gate: Gate, key: str) -> None:
        nonlocal running, most
        assert await gate.admit(key, until=until, changed=asyncio.Event())
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await gate.settle(key, None)
        gate.leave(key)

    await asyncio.gather(
        *(speak(gate, f"{n}:{m}") for n, gate in enumerate(gates) for m in range(8))
    )
    assert most == 4
    await asyncio.gather(*(gate.aclose() for gate in gates))
    assert (await gates[0].state())["inFlight"] == 0
