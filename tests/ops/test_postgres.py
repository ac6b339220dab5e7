"""Roles, pooler and replication of ops/postgres, with the real servers."""

import configparser
import os
import subprocess
import sys
from contextlib import ExitStack
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.ops.files import OPS
from tests.services.pgbouncer import PgBouncer
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.process import User, program
from tests.services.tts import Tts
from tts.client import Client

pytestmark = pytest.mark.ops

FOLDER = OPS / "postgres"
PASSWORD = "hex-without-signs"  # noqa: S105 -- of a server that lives for one test run


def psql(url, file, **variables):
    """What an operator does."""
    given = [f"--set={name}={value}" for name, value in variables.items()]
    command = [program("psql", "postgresql"), "--no-psqlrc", "--set=ON_ERROR_STOP=1", *given]
    done = subprocess.run(
        [*command, f"--file={FOLDER / file}", url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def at(url, *, user, database="tts"):
    """The URL for another user and database."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{PASSWORD}@{host}", path=f"/{database}").geturl()


def speaks(folder, url, **env):
    """Start the service on the database, have it speak, and stop it."""
    port = free_port()
    env |= {"EVENT_STORE_URL": url, "SANDBOX_PORT": str(free_port())}
    with ExitStack() as stack:
        service = Tts("up", "--port", str(port), "--data", str(folder), env=env)
        stack.callback(service.stop)
        service.wait_for(f"http://127.0.0.1:{port}/health")
        app = stack.enter_context(Client(f"http://127.0.0.1:{port}", trust_env=False))
        task = app.generate("template1", "你好。").task_id
        assert list(app.events(task))[-1].status == "succeeded"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With the roles, and the tables that the service has made."""
    server = Postgres()
    psql(server.url, "roles.sql", password=PASSWORD)
    speaks(tmp_path_factory.mktemp("data"), at(server.url, user="tts"))
    psql(at(server.url, user="postgres"), "readers.sql")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def url(server):
    """The database, for the service."""
    return at(server.url, user="tts")


def refused(url, statement):
    """Whether the role may not do it."""
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


class TestRoles:
    def test_the_tables_are_the_owners_whoever_made_them(self, url):
        """So that a second login of the service can work with them."""
        query = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        with psycopg.connect(url) as connection:
            assert connection.execute(query).fetchall() == [("tts_owner",)]

    def test_the_service_can_do_nothing_outside_of_its_database(self, url):
        """It makes neither databases nor roles, and reads no file of the server."""
        assert refused(url, "CREATE DATABASE another")
        assert refused(url, "CREATE ROLE another")
        assert refused(url, "COPY stored_events FROM '/etc/passwd'")
        assert refused(url, "ALTER ROLE tts SUPERUSER")

    def test_readers_see_everything_but_what_was_said_and_the_keys(self, server):
        """They are for people, dashboards and questions in SQL."""
        with psycopg.connect(at(server.url, user="postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE anna LOGIN IN ROLE tts_reader")
            made = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            tables = {name for (name,) in connection.execute(f"{made} AND relkind IN ('r', 'v')")}
        reader = at(server.url, user="anna")
        closed = {table for table in tables if refused(reader, f"SELECT 1 FROM {table}")}  # noqa: S608
        assert closed == {"payloads", "secrets", "callbacks", "shared_documents"}
        assert refused(reader, "DELETE FROM stored_events")
        assert refused(reader, "CREATE TABLE mine ()")

    def test_who_is_no_part_of_it_cannot_even_connect(self, server):
        """Other services on the same server have no business in this database."""
        with psycopg.connect(at(server.url, user="postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE stranger LOGIN")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(at(server.url, user="stranger"))


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_the_service_works_through_the_pooler(server, url, tmp_path, mode):
    """With the settings of the file, but for the addresses and the way to log in."""
    parser = configparser.ConfigParser(comment_prefixes=(";",))
    parser.read(FOLDER / "pgbouncer.ini")
    settings = dict(parser["pgbouncer"])
    assert settings["pool_mode"] == "transaction"
    for name in ("listen_addr", "listen_port", "auth_type", "auth_file", "pool_mode"):
        del settings[name]
    account = User("postgres")
    users = account.folder("tts-users-") / "users.txt"
    users.write_text('"tts" ""\n')
    pooler = PgBouncer(server.port, mode, **settings, auth_file=users)
    direct = {"EVENT_STORE_DIRECT_URL": url} if mode == "transaction" else {}
    try:
        speaks(tmp_path, pooler.through(url), **direct)
    finally:
        pooler.stop()


def test_the_service_works_with_tables_that_it_may_not_make(server, tmp_path):
    """An owner makes them; the service's own role can do nothing but use them."""
    with psycopg.connect(at(server.url, user="postgres", database="postgres")) as connection:
        connection.autocommit = True
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute(
            "CREATE DATABASE plain OWNER tts_owner ENCODING 'UTF8' TEMPLATE template0"
        )
    urls = [at(server.url, user=user, database="plain") for user in ("postgres", "plain")]
    command = [sys.executable, "-m", "tts", "migrate", "--grant", "plain"]
    env = {"EVENT_STORE_URL": urls[0], "PATH": os.environ["PATH"]}
    subprocess.run(command, env=env, cwd=tmp_path, check=True)
    speaks(tmp_path, urls[1])


def test_a_standby_can_follow_with_its_role(server):
    """It may copy and follow the log, and nothing else."""
    with psycopg.connect(at(server.url, user="postgres")) as connection:
        query = "SELECT rolreplication, rolsuper FROM pg_roles WHERE rolname = 'tts_standby'"
        assert connection.execute(query).fetchone() == (True, False)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(at(server.url, user="tts_standby"))
