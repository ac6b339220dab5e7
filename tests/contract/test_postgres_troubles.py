"""A PostgreSQL in trouble is waited for, by the store and the read models, and never for long."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from projections.postgres import PostgresDatabase
from tests.builders import application
from tests.read_models import caught_up, projecting
from tests.services.link import Link
from tests.services.postgres import Postgres
from tests.services.postgres_pair import PostgresPair
from tests.services.stores import Backend, Store, line
from tests.waiting import until
from tts.ports.errors import Unavailable
from tts.store import postgres_leadership
from tts.store.postgres import PostgresStore
from tts.store.postgres_errors import is_away, translated

TROUBLES = [
    "08006", "25006", "25P02", "28000", "40001", "40P01", "53000", "53100", "53200", "53300",
    "55000", "55006", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "58000", "58030",
    "F0000", "XX000", "XX001", "XX002",
]  # fmt: skip
TOLD_SECONDS = (
    40  # a quiet machine takes 10; who waits for an answer that never comes waits for ever
)
DEFECTS = ["22001", "23505", "42601", "42P01", "42703", "P0001"]
RAISE = "DO $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{}'; END $$"


@pytest.fixture
def backend(postgres: Postgres) -> Backend:
    return Backend(postgres.create_database(), postgres)


def event() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "tts.task.queued", b"{}")


class TestErrors:
    @pytest.mark.parametrize("sqlstate", TROUBLES)
    def test_the_servers_troubles_are_waited_out(self, postgres: Postgres, sqlstate: str):
        """Every class that the server, its disk or its operator is to blame for."""
        with (
            psycopg.connect(postgres.url) as connection,
            pytest.raises(Unavailable, match="trouble"),
            translated(),
        ):
            connection.execute(RAISE.format(sqlstate))

    @pytest.mark.parametrize("sqlstate", DEFECTS)
    def test_our_own_defects_are_not(self, postgres: Postgres, sqlstate: str):
        """They would be tried for ever."""
        with (
            psycopg.connect(postgres.url) as connection,
            pytest.raises(psycopg.Error),
            translated(),
        ):
            connection.execute(RAISE.format(sqlstate))

    async def test_store_and_read_models_say_the_same(self, backend: Backend, store):
        """Whatever they were about, they raise Unavailable."""
        raising = (
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '53100'; END $$"
        )
        trigger = "CREATE TRIGGER t BEFORE INSERT ON {} EXECUTE FUNCTION trouble()"
        async with open_database(backend.url) as database:
            with psycopg.connect(backend.url, autocommit=True) as connection:
                connection.execute(raising)
                for table in ("stored_events", "checkpoints", "read_models"):
                    connection.execute(trigger.format(table))
            outcome = await asyncio.gather(
                store.append([event()]),
                store.save_checkpoint("relay", 1),
                insert(database),
                return_exceptions=True,
            )
            assert {type(each) for each in outcome} == {Unavailable}
            assert all("trouble" in str(each) for each in outcome)
            with psycopg.connect(backend.url, autocommit=True) as connection:
                connection.execute("DROP FUNCTION trouble CASCADE")
            await store.append([event()])
            await insert(database)

    def test_an_error_without_a_code_is_the_drivers(self):
        """Without a server there is none."""
        assert is_away(psycopg.OperationalError("the connection is lost"))
        assert is_away(psycopg.DatabaseError("the connection is confused"))
        assert is_away(ConnectionResetError())
        assert not is_away(psycopg.ProgrammingError("the query has 0 placeholders"))
        assert not is_away(KeyError())


async def insert(database: PostgresDatabase) -> None:
    async with database.transaction() as transaction:
        sql = "INSERT INTO read_models VALUES (?, 1, 1, 0, FALSE, NULL, '')"
        await transaction.execute(sql, (str(uuid4()),))


async def request(store: Store) -> None:
    await application(store).request(template_id="t", text="x")


class TestReadOnlyWindow:
    async def test_it_stops_nobody(self, backend: Backend):
        """Appends are refused meanwhile; store, read models and a start wait for its end."""
        assert backend.server
        async with (
            backend.store() as store,
            open_database(backend.url) as database,
            projecting(store, database) as projector,
        ):
            await caught_up(store, database)
            late = PostgresStore(backend.url)
            with backend.server.setting(default_transaction_read_only="on"):

                async def refused() -> bool:
                    return not await served(request(store))

                await until(refused, "nothing can be written")
                with pytest.raises(Unavailable):
                    await late.open()
            await until(lambda: served(request(store)), "it is over")
            await caught_up(store, database)
            await projector.ready()
            await late.open()
            assert await late.position() == await store.position()
            await late.aclose()


class TestSilence:
    """Connections stay open and nothing comes from them."""

    @pytest.mark.parametrize("trouble", ["swallow", "freeze"])
    async def test_nobody_waits_for_an_answer_that_does_not_come(
        self, backend: Backend, trouble: str
    ):
        """Whoever asks is told within seconds, and is served within seconds of the end."""
        assert backend.server
        with Link(backend.server.port) as link:
            url = link.through(backend.url)
            async with Backend(url).store() as store, open_database(url) as database:
                await store.append([event()])
                getattr(link, trouble)()
                began = time.monotonic()
                outcome = await asyncio.gather(
                    *(store.append([event()]) for _ in range(3)),
                    *(store.read(0, 1) for _ in range(6)),
                    insert(database),
                    return_exceptions=True,
                )
                assert {type(each) for each in outcome} == {Unavailable}
                assert time.monotonic() - began < TOLD_SECONDS
                link.heal()
                began = time.monotonic()
                await until(lambda: served(store.append([event()])), "appends again")
                await until(lambda: served(insert(database)), "read models again")
                assert await store.read(0, 1)
                assert time.monotonic() - began < TOLD_SECONDS

    @pytest.mark.cluster
    async def test_a_commit_that_waits_for_a_standby_is_not_waited_for(self):
        """No timeout of the server ends it."""
        pair = PostgresPair(synchronous=True)
        try:
            async with Backend(pair.create_database()).store() as store:
                await store.append([event()])
                pair.link.freeze()
                async with asyncio.timeout(TOLD_SECONDS):
                    with pytest.raises(Unavailable):
                        await store.append([event()])
                pair.link.heal()
                await until(lambda: served(store.append([event()])), "it goes on")
        finally:
            pair.stop()

    @pytest.mark.cluster
    async def test_reads_come_back_as_soon_as_the_server_does(self):
        """However long it was away: the pool's pauses do not grow with the outage."""
        server = Postgres()
        try:
            async with Backend(server.create_database(), server).store() as store:
                database = open_database(server.url)
                async with database:
                    await asyncio.to_thread(server.halt)
                    ends = time.monotonic() + 30
                    while time.monotonic() < ends:
                        await served(store.read(0, 1))
                        await served(insert(database))
                    await asyncio.to_thread(server.start)
                    async with asyncio.timeout(5):
                        await until(lambda: served(store.position()), "the log is read")
                        await until(lambda: served(insert(database)), "so are the read models")
        finally:
            server.stop()


async def served(work) -> bool:
    try:
        await work
    except Unavailable:
        return False
    return True


class TestLease:
    @pytest.mark.cluster
    async def test_a_frozen_leader_makes_room(self, store: Store, backend: Backend):
        """A standby leads within seconds; the frozen one learns of it when it thaws."""
        with backend.process("lead", "relay") as leader:
            assert await asyncio.to_thread(line, leader) == "leading"
            leader.send_signal(19)
            async with asyncio.timeout(TOLD_SECONDS), store.leadership("relay"):
                leader.send_signal(18)
                assert await asyncio.to_thread(line, leader) == "lost"

    async def test_a_leader_that_lives_keeps_the_leadership(self, backend: Backend, monkeypatch):
        """Its session says so again and again, and is given up only after a silence of seconds."""
        assert postgres_leadership.CHECK_SECONDS <= postgres_leadership.LEASE_SECONDS / 4
        monkeypatch.setattr(postgres_leadership, "CHECK_SECONDS", 0.05)
        async with backend.store() as store, store.leadership("relay") as leadership:
            cursor = await leadership._connection.execute("SHOW idle_session_timeout")
            assert await cursor.fetchone() == (f"{postgres_leadership.LEASE_SECONDS}s",)
            pid, signs = leadership._connection.info.backend_pid, set()
            lost = asyncio.ensure_future(leadership.lost())

            def again_and_again() -> bool:
                query = f"SELECT state_change FROM pg_stat_activity WHERE pid = {pid}"  # noqa: S608 -- a number
                signs.update(backend.sql(query))
                return len(signs) > 3

            await until(again_and_again, "its session says so")
            assert not lost.done()
            lost.cancel()
            await asyncio.wait([lost])
