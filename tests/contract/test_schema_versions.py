"""Every released schema becomes the present one, a newer one is refused, and owners can do both."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from projections.all_models import PROJECTIONS
from projections.database import open_database
from projections.schema import SCHEMA as READ_MODELS
from projections.sqlite import IN_SQLITE
from tests.builders import application
from tests.services.postgres import Postgres
from tests.services.stores import Backend
from tts.cli.commands import main
from tts.ports.errors import Unfit
from tts.ports.schema import Schema
from tts.store import postgres, sqlite

FOLDER = Path(__file__).parents[1] / "schemas"
PRESENT = {
    "log-{}.postgres.sql": postgres.SCHEMA,
    "log-{}.sqlite.sql": sqlite.SCHEMA,
    "read-models-{}.sql": READ_MODELS,
}
TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
)
VIEWS = {table.view for projection in PROJECTIONS for table in projection.tables}
CATALOG = (
    """
    SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
)


@pytest.mark.parametrize("name", PRESENT)
def test_the_present_schema_is_kept(name: str):
    """Whoever changes it gives it a new version and leaves a copy for those who come later."""
    schema = PRESENT[name]
    copy = FOLDER / name.format(schema.version)
    assert copy.exists(), f"copy the schema to {copy}"
    assert copy.read_text() == schema.script, f"it differs from {copy}: give it a new version"


async def open_all(url: str) -> None:
    """Start and stop, as a process does."""
    async with Backend(url).store() as store, open_database(url):
        await application(store).request(template_id="t", text="你好")


def read_models(backend: Backend) -> Path:
    return backend.path.with_suffix(".read.db")


def catalog(backend: Backend) -> list[set[str]]:
    """What a database holds, in words that two of them share."""
    if not backend.is_sqlite:
        return [{str(row[0]) for row in backend.sql(query)} for query in CATALOG]
    found = []
    for path in (backend.path, read_models(backend)):
        with sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            found.append({re.sub(r"\s+", " ", sql) for (sql,) in rows})
    return found


def copy(name: str, version: int) -> str:
    """That part as it was when another one had that version."""
    versions = (FOLDER / name.format(each) for each in range(version, -1, -1))
    return next(path.read_text() for path in versions if path.exists())


def lay(backend: Backend, version: int) -> None:
    """Make the tables as that version did."""
    log = copy(f"log-{{}}.{'sqlite' if backend.is_sqlite else 'postgres'}.sql", version)
    rows = copy("read-models-{}.sql", version)
    if backend.is_sqlite:
        rows = rows.replace('COLLATE "C"', "")
        for path, script in ((backend.path, log), (read_models(backend), rows)):
            with sqlite3.connect(path) as connection:
                connection.executescript(script)
        schemas = [sqlite.SCHEMA, IN_SQLITE]
    else:
        with psycopg.connect(backend.url, autocommit=True) as connection:
            connection.execute(log)
            connection.execute(rows)
        schemas = [postgres.SCHEMA, READ_MODELS]
    for schema in schemas if version else ():
        number(backend, schema, min(version, schema.version))


def number(backend: Backend, schema: Schema, version: int) -> None:
    """Write the version down, as a service does."""
    if backend.is_sqlite:
        path = backend.path if schema is sqlite.SCHEMA else read_models(backend)
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        return
    with psycopg.connect(backend.url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_versions (part text PRIMARY KEY, "
            "version bigint NOT NULL, since timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute(
            "INSERT INTO schema_versions AS v VALUES (%s, %s) "
            "ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            (schema.part, version),
        )


def versions(backend: Backend) -> set[int]:
    if not backend.is_sqlite:
        return {int(row[0]) for row in backend.sql("SELECT version FROM schema_versions")}
    found = set()
    for path in (backend.path, read_models(backend)):
        with sqlite3.connect(path) as connection:
            found.add(connection.execute("PRAGMA user_version").fetchone()[0])
    return found


@pytest.fixture
def fresh(backend: Backend, tmp_path: Path) -> Backend:
    """An empty database of the same kind as the backend."""
    if backend.server:
        return Backend(backend.server.create_database(), backend.server)
    return Backend(f"sqlite:///{tmp_path / 'fresh' / 'tts.db'}")


NEWEST = max(schema.version for schema in PRESENT.values())


@pytest.mark.parametrize("version", range(NEWEST + 1))
async def test_each_released_schema_becomes_the_present_one(
    backend: Backend, fresh: Backend, version: int
):
    """A database of that version holds what a new one does, and says so."""
    lay(backend, version)
    for each in (backend, fresh):
        await open_all(each.url)
    assert catalog(backend) == catalog(fresh)
    assert versions(backend) == versions(fresh)


@pytest.mark.parametrize("part", ["log", "read models"])
async def test_a_newer_schema_is_refused_and_stays_as_it_is(backend: Backend, part: str):
    """By a start and by ``tts migrate``; the sentence names both versions."""
    await open_all(backend.url)
    log = sqlite.SCHEMA if backend.is_sqlite else postgres.SCHEMA
    schema = log if part == "log" else IN_SQLITE if backend.is_sqlite else READ_MODELS
    newer = schema.version + 6
    number(backend, schema, newer)
    before = catalog(backend)
    words = f"the {part} in version {newer}.*up to version {schema.version}: start the newer"
    with pytest.raises(Unfit, match=words):
        await open_all(backend.url)
    result = await asyncio.to_thread(migrate, backend.url)
    assert result.exit_code == 1
    assert f"the {part} in version {newer}" in result.output
    assert catalog(backend) == before


async def test_each_table_is_known_by_name(backend: Backend):
    """So that it is made anew when it is missing, and that its rights are granted."""
    await open_all(backend.url)
    if backend.is_sqlite:
        parts = [(backend.path, sqlite.SCHEMA), (read_models(backend), IN_SQLITE)]
        for path, schema in parts:
            with sqlite3.connect(path) as connection:
                made = {name for (name,) in connection.execute(TABLES[0])}
            assert made == set(schema.tables) - VIEWS
        return
    made = {name for (name,) in backend.sql(TABLES[1])}
    assert made == {*postgres.SCHEMA.tables, *READ_MODELS.tables, "schema_versions"} - VIEWS


@pytest.mark.parametrize("table", ["read_tasks_1", "shared_documents", "roster"])
async def test_tables_that_were_dropped_are_made_anew(backend: Backend, table: str):
    """Read models can be: they come out of the log again."""
    await open_all(backend.url)
    before = catalog(backend)
    if backend.is_sqlite:
        if table == "shared_documents":
            return
        path = read_models(backend) if table == "read_tasks_1" else backend.path
        with sqlite3.connect(path) as connection:
            connection.execute(f"DROP TABLE {table}")
    else:
        with psycopg.connect(backend.url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE {table} CASCADE")
    await open_all(backend.url)
    assert catalog(backend) == before


# --- tts migrate


def migrate(url: str, *arguments: str, **env: str):
    """What an operator does."""
    return CliRunner().invoke(main, ["migrate", *arguments], env={"EVENT_STORE_URL": url, **env})


def test_migrate_makes_the_tables_and_says_of_which_version(backend: Backend):
    """Again and again; the second time there is nothing to do."""
    first, second = migrate(backend.url), migrate(backend.url)
    assert first.exit_code == second.exit_code == 0, first.output
    assert first.output.count("(it was made now, or is older than versions)") == 2
    log, read_models = second.output.splitlines()
    assert log == f"The log: version {postgres.SCHEMA.version}, as it should be."
    assert read_models == f"The read models: version {READ_MODELS.version}, as it should be."
    asyncio.run(open_all(backend.url))


def test_a_role_without_ddl_works_with_what_the_owner_has_made(postgres: Postgres):
    """It makes no table, changes none, and does all the rest."""
    url = postgres.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        owner, role = f"owner_{uuid4().hex}", f"role_{uuid4().hex}"
        for each in (owner, role):
            connection.execute(f"CREATE ROLE {each} LOGIN")
        connection.execute(f"ALTER SCHEMA public OWNER TO {owner}")
        connection.execute(f"GRANT CONNECT ON DATABASE {url.rpartition('/')[2]} TO {role}")
    result = migrate(url.replace("postgres@", f"{owner}@"), "--grant", role)
    assert result.exit_code == 0, result.output
    service = url.replace("postgres@", f"{role}@")
    asyncio.run(open_all(service))
    with psycopg.connect(service, autocommit=True) as connection:
        for statement in (
            "CREATE TABLE mine ()",
            "DROP TABLE read_tasks_1",
            "DELETE FROM stored_events",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_migrate_names_what_is_wrong(postgres: Postgres, tmp_path: Path):
    """In a sentence, with an exit code."""
    cases = {
        "nobody_here": (postgres.create_database(), "--grant", "nobody_here"),
        "--grant is for PostgreSQL": (f"sqlite:///{tmp_path / 'tts.db'}", "--grant", "tts"),
    }
    for words, arguments in cases.items():
        result = migrate(*arguments)
        assert result.exit_code == 1
        assert words in result.output
        assert "Traceback" not in result.output
