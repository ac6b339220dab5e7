"""What a PostgreSQL does on its bad days, so that tests can make it do so."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.services.postgres import Postgres
from tests.services.postgres_pair import PostgresPair
from tests.waiting import wait_until


def state(connection: psycopg.Connection, statement: str) -> str | None:
    """The SQLSTATE that a statement ends with; 00000 is success, None a connection that is lost."""
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        # What a server says when it hangs up may be lost together with the connection.
        return None if connection.closed else error.sqlstate
    return "00000"


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "statement", "sqlstate"),
        [
            ({"default_transaction_read_only": "on"}, "CREATE TABLE IF NOT EXISTS t ()", "25006"),
            ({"statement_timeout": "50ms"}, "SELECT pg_sleep(1)", "57014"),
            ({"idle_session_timeout": "1ms"}, "SELECT pg_sleep(0)", None),
        ],
    )
    def test_they_hold_for_sessions_that_are_there(
        self, postgres: Postgres, setting: dict[str, str], statement: str, sqlstate: str
    ) -> None:
        """A session meets the setting while it lasts, and new ones do not after it."""
        url = postgres.create_database()
        with psycopg.connect(url, autocommit=True) as connection, postgres.setting(**setting):
            wait_until(lambda: state(connection, statement) == sqlstate, f"it meets {setting}")

        def new_session() -> str | None:
            with psycopg.connect(url, autocommit=True) as connection:
                return state(connection, statement)

        # A session that began before the server read its files again may still meet the setting.
        wait_until(lambda: new_session() == "00000", "it is over")


@pytest.mark.cluster
class TestShortage:
    def test_no_connection_is_left(self) -> None:
        """Whoever connects is told 53300, in vain, and is let in again afterwards."""
        server = Postgres(settings={"max_connections": 10})
        try:
            with server.no_connection_left(), pytest.raises(psycopg.OperationalError) as caught:
                psycopg.connect(server.url)
            assert "too many clients" in str(caught.value)
            wait_until(lambda: server.ask("SELECT true"), "there is room again")
        finally:
            server.stop()

    def test_the_disk_is_full(self) -> None:
        """A statement that needs room ends with 53100, and succeeds when there is room again."""
        server = Postgres(disk=96)
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE t (value text)")
                insert = "INSERT INTO t VALUES (repeat('x', 1000))"
                server.fill_disk()
                wait_until(lambda: state(connection, insert) == "53100", "the disk is full")
                server.free_disk()
                assert state(connection, insert) == "00000"
        finally:
            server.stop()


def rows(url: str) -> int:
    """How many rows are in table t."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM t").fetchone()
    assert row
    return int(row[0])


@pytest.fixture
def synchronous_pair() -> Iterator[PostgresPair]:
    """A primary whose commits wait for the standby."""
    pair = PostgresPair(synchronous=True)
    yield pair
    pair.stop()


@pytest.mark.cluster
class TestPair:
    def test_a_failover_keeps_what_the_standby_had(self, postgres_pair: PostgresPair) -> None:
        """One URL leads to the new primary, which has every row, and can be failed over again."""
        url = postgres_pair.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT generate_series(1, 10)")
        for _ in range(2):
            postgres_pair.catch_up()
            postgres_pair.fail_over()
            assert rows(url) == 10
            postgres_pair.rejoin()

    def test_a_failover_loses_what_the_standby_had_not(self, postgres_pair: PostgresPair) -> None:
        """With the link cut, what was committed since is gone, in a new timeline of the log."""
        url = postgres_pair.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT generate_series(1, 10)")
        postgres_pair.catch_up()
        postgres_pair.link.refuse()
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO t SELECT generate_series(1, 5)")
        assert rows(url) == 15
        postgres_pair.fail_over()
        assert rows(url) == 10

    def test_a_synchronous_commit_waits_for_the_standby(
        self, synchronous_pair: PostgresPair
    ) -> None:
        """While the link is frozen no commit ends; what has ended is not lost."""
        url = synchronous_pair.create_database()
        waiting = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        with (
            psycopg.connect(url, autocommit=True) as connection,
            ThreadPoolExecutor(1) as thread,
        ):
            connection.execute("CREATE TABLE t (value int)")
            synchronous_pair.link.freeze()
            commit = thread.submit(connection.execute, "INSERT INTO t VALUES (1)")
            wait_until(lambda: synchronous_pair.primary.ask(waiting), "the commit waits")
            synchronous_pair.link.heal()
            commit.result(60)
        synchronous_pair.fail_over()
        assert rows(url) == 1

    def test_a_frozen_primary_answers_nothing_until_it_thaws(
        self, postgres_pair: PostgresPair
    ) -> None:
        """Connections stay open, and new ones are accepted by TCP alone."""
        primary = postgres_pair.primary
        primary.freeze()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(primary.url, connect_timeout=2)
        primary.thaw()
        assert primary.ask("SELECT true")
