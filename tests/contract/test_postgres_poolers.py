"""PostgreSQL behind pgbouncer, or set up in another way than most: it works, or says why not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from projections.database import open_database
from projections.ports import Database
from tests.builders import application
from tests.read_models import caught_up, projecting
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Postgres
from tests.waiting import SECONDS, until
from tts.ports.errors import Unavailable, Unfit
from tts.store import tailer
from tts.store.documents import PostgresDocuments
from tts.store.postgres import PostgresStore
from tts.store.postgres_errors import translated
from tts.store.signals import PostgresSignals


@pytest.fixture
def pooler(postgres: Postgres) -> Iterator[Callable[..., PgBouncer]]:
    """Starts a pooler before the server; with no setting but its mode unless some are given."""
    with contextlib.ExitStack() as stack:

        def start(mode: str, **settings: str | int) -> PgBouncer:
            pooler = PgBouncer(postgres.port, mode, **settings)
            stack.callback(pooler.stop)
            return pooler

        yield start


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a wake-up makes a follower look again."""
    monkeypatch.setattr(tailer, "SAFETY_POLL_SECONDS", 3600)


@contextlib.asynccontextmanager
async def opened(url: str, direct: str = "") -> AsyncIterator[tuple[PostgresStore, Database]]:
    """Store and read models, as one process has them."""
    store = PostgresStore(url, direct=direct)
    try:
        await store.open()
        async with open_database(url, direct) as database:
            yield store, database
    finally:
        await store.aclose()


async def refusal(url: str, direct: str = "") -> str:
    """What is said of a database that cannot be used."""
    with pytest.raises(Unfit) as caught:
        async with opened(url, direct):
            pass
    return str(caught.value)


@contextlib.asynccontextmanager
async def busy(url: str, clients: int) -> AsyncIterator[None]:
    """Others who never rest use the same pooler."""

    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while True:
                await connection.execute("SELECT pg_sleep(0.001)")

    working = [asyncio.create_task(work()) for _ in range(clients)]
    yield
    for each in working:
        each.cancel()
    await asyncio.gather(*working, return_exceptions=True)


async def succeeds(work: Awaitable[object]) -> bool:
    try:
        await work
    except Unavailable:
        return False
    return True


def event() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "tts.task.queued", b"{}")


def count(document: bytes, _now: float) -> tuple[bytes, int]:
    number = int(document or b"0") + 1
    return str(number).encode(), number


async def everything_works(url: str, direct: str = "") -> None:
    """Two processes do all at once what the service does with its database; takes ``no_poll``."""
    async with opened(url, direct) as (one, database), opened(url, direct) as (other, _):
        follower = other.follow(await other.position())
        following = asyncio.ensure_future(anext(follower))
        async with projecting(one, database):
            apps = [application(store) for store in [one, other] * 20]
            await asyncio.gather(*(app.request(template_id="t", text="你好") for app in apps))
            await caught_up(one, database)
            assert len(await database.fetch("SELECT * FROM read_tasks")) == len(apps)
        async with asyncio.timeout(SECONDS):
            assert await following
            await until_heard(one, other)
        async with one.leadership("relay"):
            waiting = asyncio.ensure_future(leads(other, "relay"))
            await asyncio.wait([waiting], timeout=1.5)
            assert not waiting.done()
        assert await waiting
        documents = [PostgresDocuments(store.server) for store in (one, other)]
        numbers = await asyncio.gather(*(each.update("n", count) for each in documents * 10))
        assert sorted(numbers) == list(range(1, 21))
        await one.save_checkpoint("relay", 3)
        assert await other.checkpoint("relay") == 3


async def leads(store: PostgresStore, name: str) -> bool:
    async with store.leadership(name):
        return True


async def until_heard(one: PostgresStore, other: PostgresStore) -> None:
    """A word of the one reaches the other."""
    words: asyncio.Queue[str] = asyncio.Queue()
    signals = PostgresSignals(other.server, other.listening)
    listening = asyncio.create_task(signals.listen(words.put_nowait, lambda: None))
    while words.empty():
        await PostgresSignals(one.server, one.listening).send("word")
        await asyncio.sleep(0.05)
    assert await words.get() == "word"
    listening.cancel()


class TestTransactionMode:
    @pytest.mark.usefixtures("no_poll")
    async def test_with_a_direct_url_everything_works(self, postgres: Postgres, pooler):
        """Few sessions for many clients: LISTEN and locks alone go past the pooler."""
        direct = postgres.create_database()
        await everything_works(pooler("transaction", default_pool_size=3).through(direct), direct)

    async def test_a_pooler_that_comes_back_is_used_again(
        self, postgres: Postgres, pooler, monkeypatch
    ):
        """Appends, reads and read models go on, without a word of the direct connections."""
        monkeypatch.setattr("tts.store.postgres.PATIENCE_SECONDS", 0.5)
        direct = postgres.create_database()
        between = pooler("transaction")
        async with opened(between.through(direct), direct) as (store, database):
            await store.append([event()])
            between.halt()
            with pytest.raises(Unavailable):
                await store.append([event()])
            await asyncio.to_thread(between.start)
            await until(lambda: succeeds(store.append([event()])), "appends again")
            await until(lambda: succeeds(database.fetch("SELECT 1")), "read models again")
            assert await store.read(0, 1)

    async def test_it_leaves_no_setting_behind(self, postgres: Postgres, pooler):
        """The sessions are other services', too."""
        direct = postgres.create_database()
        url = pooler("transaction", default_pool_size=1).through(direct)
        async with opened(url, direct) as (store, _):
            await store.append([event()])
            with psycopg.connect(url, autocommit=True) as connection:
                for name in ("statement_timeout", "idle_session_timeout"):
                    assert connection.execute(f"SHOW {name}").fetchone() == ("0",)

    @pytest.mark.parametrize(("size", "others"), [(1, 0), (3, 0), (2, 3), (3, 3)])
    async def test_without_one_a_sentence_says_what_to_do(
        self, postgres: Postgres, pooler, size: int, others: int
    ):
        """Before anything is made, and whoever has the sessions meanwhile."""
        url = postgres.create_database()
        pooled = pooler("transaction", default_pool_size=size).through(url)
        async with busy(pooled, others):
            said = await refusal(pooled)
        assert "EVENT_STORE_DIRECT_URL" in said
        assert "pool_mode = session" in said
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT to_regclass('stored_events')").fetchone() == (None,)

    async def test_a_direct_url_has_to_be_one(self, postgres: Postgres, pooler):
        """It leads past the pooler, to the same database."""
        url, other = postgres.create_database(), postgres.create_database()
        pooled = pooler("transaction").through(url)
        assert "another session, too" in await refusal(pooled, pooled)
        assert "another database" in await refusal(pooled, other)
        schema = f"{url}?options=-csearch_path%3Dapart"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA apart")
        assert "the schema apart there, and public here" in await refusal(pooled, schema)

    async def test_statements_without_transactions_are_refused(self, postgres: Postgres, pooler):
        """With or without a direct URL."""
        url = postgres.create_database()
        pooled = pooler("statement").through(url)
        assert "EVENT_STORE_DIRECT_URL" in await refusal(pooled)
        assert "pool_mode = transaction" in await refusal(pooled, url)

    @pytest.mark.parametrize("sqlstate", ["42P05", "26000"])
    def test_one_that_comes_later_is_said_to_be_there(self, postgres: Postgres, sqlstate: str):
        """A service that runs already waits for somebody to mend it."""
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"
        with (
            psycopg.connect(postgres.url) as connection,
            pytest.raises(Unavailable, match="EVENT_STORE_DIRECT_URL"),
            translated(),
        ):
            connection.execute(raising)


class TestSessionMode:
    @pytest.mark.usefixtures("no_poll")
    async def test_everything_works(self, postgres: Postgres, pooler):
        """With the pooler's defaults, which take none of our options at a session's start."""
        await everything_works(pooler("session").through(postgres.create_database()))

    async def test_a_right_that_is_taken_away_is_waited_for(self, postgres: Postgres, monkeypatch):
        """Whoever took it gives it back; nothing ends meanwhile."""
        monkeypatch.setattr("tts.store.postgres.PATIENCE_SECONDS", 0.5)
        url = postgres.create_database()
        with psycopg.connect(url, autocommit=True) as owner:
            role = new_role(owner)
            owner.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
            async with opened(as_role(url, role)) as (store, _):
                await store.append([event()])
                owner.execute(f"REVOKE INSERT ON stored_events FROM {role}")
                with pytest.raises(Unavailable, match="permission denied"):
                    await store.append([event()])
                owner.execute(f"GRANT INSERT ON stored_events TO {role}")
                await store.append([event()])


class TestSearchPath:
    async def test_two_services_stand_in_two_schemas(self, postgres: Postgres):
        """Neither sees the other's tables, and both lead; blanks need no code."""
        url = postgres.create_database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA one")
            connection.execute("CREATE SCHEMA other")
        options = ["-c search_path=one,public", "-csearch_path%3Dother"]
        async with contextlib.AsyncExitStack() as stack:
            for number, option in enumerate(options, 1):
                service = opened(f"{url}?options={option}")
                store, _ = await stack.enter_async_context(service)
                for _ in range(number):
                    await store.append([event()])
                assert len(await store.read(0, 10)) == number
                async with asyncio.timeout(SECONDS):
                    await stack.enter_async_context(store.leadership("relay"))
        with psycopg.connect(url) as connection:
            query = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'read_tasks_1'"
            assert sorted(connection.execute(query).fetchall()) == [("one",), ("other",)]

    async def test_a_schema_that_is_not_there_is_named(self, postgres: Postgres):
        """Nothing is made elsewhere instead."""
        said = await refusal(f"{postgres.create_database()}?options=-csearch_path%3Dapart")
        assert "search_path apart" in said
        assert "CREATE SCHEMA" in said

    @pytest.mark.parametrize("settings", [{}, {"ignore_startup_parameters": "options"}])
    async def test_a_pooler_that_does_not_pass_it_on_is_named(
        self, postgres: Postgres, pooler, settings
    ):
        """Whether it refuses the option or drops it: tables would be made in the wrong place."""
        url = pooler("session", **settings).through(postgres.create_database())
        said = await refusal(f"{url}?options=-csearch_path%3Dapart")
        assert "ALTER ROLE" in said


class TestRights:
    async def test_who_may_make_no_tables_is_told_the_grant(self, postgres: Postgres):
        """And with that grant it works."""
        url = postgres.create_database()
        with psycopg.connect(url, autocommit=True) as owner:
            role = new_role(owner)
            said = await refusal(as_role(url, role))
            assert "tts migrate --grant" in said
            owner.execute(said[said.index("GRANT ") :])
        async with opened(as_role(url, role)) as (store, _):
            await store.append([event()])

    @pytest.mark.usefixtures("no_poll")
    async def test_who_may_not_use_the_tables_is_told_the_grants(self, postgres: Postgres):
        """Including the numbers of the log; those alone are enough."""
        url = postgres.create_database()
        async with opened(url):
            pass
        with psycopg.connect(url, autocommit=True) as owner:
            role = new_role(owner)
            for name in ("stored_events", "read_tasks_1"):
                said = await refusal(as_role(url, role))
                assert name in said
                assert "stored_events_notification_id_seq" in said or name == "read_tasks_1"
                for statement in said[said.index("GRANT ") :].split("; "):
                    owner.execute(statement)
        await everything_works(as_role(url, role))


class TestDatabase:
    async def test_another_encoding_is_refused(self, postgres: Postgres):
        """It could not hold what people say."""
        url = postgres.create_database().rpartition("/")[0]
        name = f"latin_{uuid4().hex}"
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
            )
        said = await refusal(f"{url}/{name}")
        assert "LATIN1" in said
        assert "ENCODING 'UTF8'" in said


def new_role(connection: psycopg.Connection) -> str:
    role = f"role_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role} LOGIN")
    return role


def as_role(url: str, role: str) -> str:
    return url.replace("//postgres@", f"//{role}@")
