"""The event store's promises about following the log and about leading, over both stores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from tests.services.postgres import Postgres
from tests.services.stores import Backend, Store, line
from tests.waiting import SECONDS, until, wait_until
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.store import sqlite, tailer
from tts.store.sqlite import SQLiteStore

WRITERS = 8
STEPS_OF_A_LOOK, STEPS_OF_A_ROW = 60, 10  # of SQLite's machine


@pytest.fixture
def postgres_backend(postgres: Postgres) -> Backend:
    return Backend(postgres.create_database(), postgres)


@pytest.fixture
def no_poll(monkeypatch) -> None:
    """Only a wake-up makes a follower look again."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 3600)


def some(task_id: UUID, *versions: int) -> list[StoredEvent]:
    return [StoredEvent(task_id, version, "tts.task.queued", b"{}") for version in versions]


async def take(batches: AsyncIterator[list[Recorded]], count: int) -> list[Recorded]:
    """The next ``count`` events."""
    seen: list[Recorded] = []
    async with asyncio.timeout(SECONDS):
        while len(seen) < count:
            seen += await anext(batches)
    return seen


async def collect(batches: AsyncIterator[list[Recorded]], seen: list[Recorded]) -> None:
    """Put every event into ``seen`` until canceled."""
    async for events in batches:
        seen += events


async def insist(store: Store, events: list[StoredEvent]) -> int:
    """Append as a processor does, however long the store is away."""
    while True:
        try:
            return await store.append(events)
        except Unavailable:
            await asyncio.sleep(0.1)


# --- following


async def test_a_tailer_beside_eight_writers_sees_every_event_once_and_in_order(backend):
    """The writers are processes of their own; no position becomes visible behind a later one."""
    seen: list[Recorded] = []
    async with backend.store() as store:
        with ExitStack() as stack:
            writers = [
                stack.enter_context(backend.process("write", "60", str(n))) for n in range(WRITERS)
            ]
            for writer in writers:
                assert await asyncio.to_thread(line, writer) == "ready"
            following = asyncio.create_task(collect(store.follow(0, batch=50), seen))
            for writer in writers:
                print(file=writer.stdin, flush=True)
            counts = await asyncio.gather(*(asyncio.to_thread(line, writer) for writer in writers))

        await until(lambda: len(seen) >= sum(counts), "all are seen")
        following.cancel()
        log = await store.read(0, 100_000)
        assert seen == log
        assert len({r.position for r in seen}) == sum(counts)


async def test_a_follower_starts_behind_its_position(store):
    """History comes in bounded batches, then what is new."""
    positions = [await store.append(some(uuid4(), 1)) for _ in range(7)]
    batches = store.follow(positions[1], batch=2)
    async with asyncio.timeout(SECONDS):
        history = [[r.position for r in await anext(batches)] for _ in range(3)]
    assert history == [positions[2:4], positions[4:6], positions[6:]]
    new = await store.append(some(uuid4(), 1))
    assert [r.position for r in await take(batches, 1)] == [new]


@pytest.mark.usefixtures("no_poll")
async def test_an_append_wakes_followers_in_every_process(backend):
    """They do not wait for their next poll."""
    async with backend.store() as writer, backend.store() as reader:
        followers = [writer.follow(0), reader.follow(0), reader.follow(0)]
        waiting = [asyncio.create_task(take(follower, 1)) for follower in followers]
        for _ in range(3):  # each sees an empty log first
            await asyncio.sleep(0)
        position = await writer.append(some(uuid4(), 1))
        for seen in await asyncio.gather(*waiting):
            assert [r.position for r in seen] == [position]


async def test_a_follower_without_wake_ups_polls(backend):
    """A lost wake-up costs about a second, not the event."""
    async with backend.store() as writer, backend.store() as reader:
        batches = reader.follow(0)
        deaf = reader._watching if backend.is_sqlite else reader.listening._task
        deaf.cancel()
        await asyncio.wait([deaf])
        waiting = asyncio.create_task(take(batches, 1))
        await asyncio.sleep(0)
        position = await writer.append(some(uuid4(), 1))
        assert [r.position for r in await waiting] == [position]


@pytest.mark.usefixtures("no_poll")
async def test_listening_goes_on_after_its_backend_is_killed(postgres_backend):
    """What was appended while nobody listened is seen, and wake-ups come again."""
    backend = postgres_backend
    async with backend.store() as writer, backend.store() as reader:
        batches = reader.follow(0)
        first = await writer.append(some(uuid4(), 1))
        assert [r.position for r in await take(batches, 1)] == [first]

        def killed() -> bool:  # as soon as it listens: the first event was read before
            return backend.server.terminate_backends(backend.url, query="LISTEN%") == 1

        await asyncio.to_thread(wait_until, killed, "its listening backend is killed")
        missed = await writer.append(some(uuid4(), 1))
        assert [r.position for r in await take(batches, 1)] == [missed]
        after = await writer.append(some(uuid4(), 1))
        assert [r.position for r in await take(batches, 1)] == [after]


@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
async def test_nothing_is_lost_or_doubled_when_postgresql_restarts(postgres_backend, crash):
    """Appends go on across it, each lands once, and a follower sees each once and in order."""
    backend = postgres_backend
    async with backend.store() as writer, backend.store() as reader:
        batches = reader.follow(0, batch=20)
        appended: dict[UUID, int] = {}
        enough = asyncio.Event()

        async def keep_appending() -> None:
            while not enough.is_set():
                task = uuid4()
                appended[task] = await insist(writer, some(task, 1, 2))

        appending = [asyncio.create_task(keep_appending()) for _ in range(4)]
        seen = await take(batches, 100)
        await asyncio.to_thread(backend.server.restart, crash=crash)
        before = len(appended)

        await until(lambda: len(appended) > before + 50, "it goes on")
        enough.set()
        await asyncio.gather(*appending)
        seen += await take(batches, 2 * len(appended) - len(seen))
        assert [r.position for r in seen] == sorted({r.position for r in seen})
        assert {r.task_id: r.position for r in seen if r.version == 2} == appended
        assert len(seen) == 2 * len(appended)


async def test_an_append_during_an_outage_says_so_and_records_nothing(postgres_backend):
    """The caller learns in seconds that the store is away, and can go on when it is back."""
    backend = postgres_backend
    async with backend.store() as store:
        await store.append(some(uuid4(), 1))
        await asyncio.to_thread(backend.server.halt)
        try:
            async with asyncio.timeout(SECONDS):
                outcome = await asyncio.gather(
                    store.append(some(uuid4(), 1)), store.ready(), return_exceptions=True
                )
            assert [type(result) for result in outcome] == [Unavailable, Unavailable]
        finally:
            await asyncio.to_thread(backend.server.start)
        await store.append(some(uuid4(), 1))
        assert len(await store.read(0, 10)) == 2


# --- checkpoints


async def test_a_checkpoint_never_goes_back(backend):
    """The late save of a leader that lost its leadership undoes nothing."""
    async with backend.store() as one, backend.store() as other:
        assert await one.checkpoint("relay") == 0
        await one.save_checkpoint("relay", 7)
        await other.save_checkpoint("relay", 5)
        assert await one.checkpoint("relay") == 7
        assert await one.checkpoint("another") == 0


# --- leading


async def test_one_leads_and_the_next_one_follows_when_it_stops(backend):
    """Whoever waits gets the leadership as soon as it is free, and never before."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(backend.store()) for _ in range(3)]
        leading = 0
        led = 0

        async def lead(store: Store) -> None:
            nonlocal leading, led
            async with store.leadership("relay"):
                leading += 1
                assert leading == 1
                await asyncio.sleep(0.05)
                leading -= 1
            led += 1

        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*map(lead, stores))
        assert led == 3


async def test_two_names_are_led_independently(backend):
    """The relay's leader does not keep the projector's out."""
    async with (
        asyncio.timeout(SECONDS),
        backend.store() as store,
        store.leadership("relay"),
        store.leadership("projector") as leadership,
    ):
        lost = asyncio.create_task(leadership.lost())
        done, _ = await asyncio.wait([lost], timeout=0.1)
        assert not done
        lost.cancel()
        await asyncio.wait([lost])


async def test_a_standby_takes_over_from_a_killed_process(store, backend):
    """SIGKILL leaves nothing behind that would have to expire."""
    with backend.process("lead", "relay") as leader:
        assert await asyncio.to_thread(line, leader) == "leading"
        standby = asyncio.create_task(_lead_once(store))
        done, _ = await asyncio.wait([standby], timeout=0.3)
        assert not done
        leader.kill()
        async with asyncio.timeout(SECONDS):
            await standby


async def test_a_leader_learns_that_its_session_is_gone(postgres_backend):
    """It is told before long, and the standby leads."""
    backend = postgres_backend
    async with backend.store() as store, backend.store() as other:
        with contextlib.suppress(Unavailable):
            async with store.leadership("relay") as leadership:
                standby = asyncio.create_task(_lead_once(other))
                lost = asyncio.create_task(leadership.lost())
                await asyncio.sleep(0)
                pid = (
                    await (
                        await leadership._connection.execute("SELECT pg_backend_pid()")
                    ).fetchone()
                )[0]
                backend.sql(f"SELECT pg_terminate_backend({pid})")
                async with asyncio.timeout(SECONDS):
                    await lost
                    await standby
                return
        pytest.fail("the leadership ended before the leader was told")


async def _lead_once(store: Store) -> None:
    async with store.leadership("relay"):
        pass


async def test_a_leaders_session_does_not_outlive_its_machine(postgres_backend):
    """A machine that vanishes without a word is found out within seconds, not in two hours."""
    async with postgres_backend.store() as store, store.leadership("relay") as leadership:
        cursor = await leadership._connection.execute("SHOW tcp_keepalives_idle")
        assert await cursor.fetchone() == ("5",)


async def test_a_follower_of_some_topics_sees_those_alone(backend):
    """Nothing of another topic, and nothing of its own is missed, whoever else follows."""
    async with backend.store() as writer, backend.store() as reader:
        everything, queued = reader.follow(0), reader.follow(0, topics=["tts.task.queued"])
        waiting = asyncio.create_task(take(queued, 3))
        for _ in range(3):
            task_id = uuid4()
            await writer.append([StoredEvent(task_id, 1, "tts.task.requested", b"{}")])
            await writer.append(some(task_id, 2))
        assert [r.topic for r in await waiting] == ["tts.task.queued"] * 3
        assert len(await take(everything, 6)) == 6


@pytest.mark.usefixtures("no_poll")
async def test_a_follower_reads_no_event_again_while_its_topics_do_not_come(backend, monkeypatch):
    """However long nobody cancels anything, a wake-up costs no more than what is new."""
    appends, size = 60, 5
    async with backend.store() as writer, backend.store() as reader:
        looks = counted(monkeypatch, reader, "_stretch")
        steps = counted_steps(reader)
        rare = asyncio.create_task(anext(reader.follow(0, topics=["tts.task.canceled"])))
        for n in range(appends):
            await until(lambda n=n: len(looks) > n, "it has looked")
            await writer.append(some(uuid4(), *range(1, size + 1)))
            reader._bell.kick()
        end = await writer.append([StoredEvent(uuid4(), 1, "tts.task.canceled", b"{}")])
        async with asyncio.timeout(SECONDS):
            assert [r.position for r in await rare] == [end]
    if backend.is_sqlite:
        assert len(steps) < STEPS_OF_A_LOOK * len(looks) + STEPS_OF_A_ROW * appends * size
    else:
        (index,) = backend.sql(
            "SELECT idx_tup_read FROM pg_stat_user_indexes "
            "WHERE indexrelname = 'stored_events_notification_id_idx'"
        )
        assert index[0] < 2 * len(looks) + 2 * appends * size


@pytest.mark.usefixtures("no_poll")
async def test_who_follows_everything_is_told_and_does_not_read(backend, monkeypatch):
    """Neither what others append nor what it appends itself, unless it is too much for the news."""
    async with backend.store() as here, backend.store() as there:
        writer = here if backend.is_sqlite else there
        looks = counted(monkeypatch, here, "_stretch")
        following, seen = here.follow(0), list[Recorded]()
        await writer.append(some(uuid4(), 1))
        seen += await take(following, 1)
        known = len(looks) + 1  # it is woken once more when it is known to be
        for n in range(20):
            task_id = uuid4()
            state = f'{{"words": "说“{n}”\\n"}}'.encode()
            await writer.append([StoredEvent(task_id, 1, "tts.task.requested", state)])
            await writer.append(some(task_id, 2, 3))
            seen += await take(following, 3)
        assert len(looks) <= known
        long = b'"' + b"x" * 8000 + b'"'
        await writer.append([StoredEvent(uuid4(), 1, "tts.task.requested", long)])
        seen += await take(following, 1)
        assert seen == await here.read(0, 1000)


async def test_nobody_tells_of_events_who_cannot_read_the_secret(postgres_backend):
    """Every role may notify, one that only reads as well: what it says is not in any stream."""
    async with postgres_backend.store() as store:
        following = store.follow(0)
        end = await store.append(some(uuid4(), 1))
        await take(following, 1)
        forged = [end + 1, str(uuid4()), 1, "tts.task.succeeded", "{}"]
        told = orjson.dumps([store.epochs.newest.number, end, [forged]]).decode()
        for payload in (told, "no news"):
            postgres_backend.sql(f"SELECT pg_notify('stored_events', '{payload}')::text")
        await store.append(some(uuid4(), 1))
        assert await take(following, 1) == await store.read(end, 10)


@pytest.mark.usefixtures("no_poll")
async def test_a_follower_of_some_topics_is_not_woken_by_others(store, monkeypatch):
    """It looks when there is something for it, though others in its process look each time."""
    # Nobody else writes; who looks whether anybody did may take an append of our own for it.
    monkeypatch.setattr(sqlite, "OTHER_PROCESSES_POLL_SECONDS", 3600)
    looks = counted(monkeypatch, store, "_stretch")
    everything = store.follow(0)
    rare = asyncio.create_task(anext(store.follow(0, topics=["tts.task.canceled"])))
    for _ in range(20):
        await store.append(some(uuid4(), 1))
        await take(everything, 1)
    # Two to begin with: by itself, and when it is known to be woken from now on.
    assert sum(bool(topics) for _, _, topics in looks) <= 3
    end = await store.append([StoredEvent(uuid4(), 1, "tts.task.canceled", b"{}")])
    async with asyncio.timeout(SECONDS):
        assert [r.position for r in await rare] == [end]


def counted(monkeypatch: pytest.MonkeyPatch, store: Store, name: str) -> list[tuple[Any, ...]]:
    """Gets the arguments of each call of the method."""
    calls: list[tuple[Any, ...]] = []
    method = getattr(store, name)

    def call(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        return method(*arguments, **more)

    monkeypatch.setattr(store, name, call)
    return calls


def counted_steps(store: Store) -> list[None]:
    """Grows with each step that SQLite's machine makes for the store's reader."""
    steps: list[None] = []
    if isinstance(store, SQLiteStore):
        store._connections._reader.set_progress_handler(lambda: steps.append(None), 1)
    return steps
