"""The event store that the settings name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from typing_extensions import TypeIs

from tts.config import ConfigError, file_of
from tts.observability.metrics import observe_commit, observe_loss, observe_skew
from tts.patience import Outage
from tts.ports.errors import Unfit
from tts.ports.schema import Migrated
from tts.store import sqlite, sqlite_file
from tts.store.group_commit import ObserveCommit
from tts.store.losses import ObserveLoss

if TYPE_CHECKING:
    from tts.store.postgres import PostgresStore

START_PATIENCE_SECONDS = 60.0  # a supervisor may start us before the database, or while it restarts

Store: TypeAlias = "sqlite.SQLiteStore | PostgresStore"


class _Hooks(TypedDict):
    observe_loss: ObserveLoss
    observe_commit: ObserveCommit


@contextlib.asynccontextmanager
async def open_store(url: str, direct: str = "") -> AsyncIterator[Store]:
    """The event store, waited for and open.

    Raises:
        ConfigError: a URL cannot be read, or leads to a database that cannot be used as it is.
        Unfit: a file cannot.
        Unavailable: there is none, a minute long.
    """
    store = store_at(url, direct)
    try:
        outage = Outage("Waiting for the event store")
        with _named(url):
            await outage.wait_out(store.open, at_most=START_PATIENCE_SECONDS)
        yield store
    finally:
        await store.aclose()


def store_at(url: str, direct: str = "") -> Store:
    """The event store, not opened yet; ``direct`` is the URL past a pooler, if there is one.

    Raises:
        ConfigError: a URL cannot be read.
    """
    hooks: _Hooks = {"observe_loss": observe_loss, "observe_commit": observe_commit}
    if (file := file_of(url)) is not None:
        return sqlite.SQLiteStore(file, **hooks)
    # Only who has a server pays for its driver.
    from tts.store.postgres import PostgresStore  # noqa: PLC0415
    from tts.store.postgres_url import parameters  # noqa: PLC0415

    for name, each in (("EVENT_STORE_URL", url), ("EVENT_STORE_DIRECT_URL", direct)):
        with _named(each, name):
            parameters(each)
    return PostgresStore(url, direct=direct, observe_skew=observe_skew, **hooks)


@contextlib.contextmanager
def _named(url: str, setting: str = "EVENT_STORE_URL") -> Iterator[None]:
    """Name the setting that leads to a server that cannot be used; a file is named by its path."""
    try:
        yield
    except Unfit as error:
        if file_of(url):
            raise
        raise ConfigError(f"{setting}: {error}") from error


def is_shared(store: Store) -> TypeIs[PostgresStore]:
    """Whether it is PostgreSQL's, for any number of machines; the driver need not be loaded."""
    return hasattr(store, "server")


async def migrate_store(url: str, direct: str, role: str) -> Migrated:
    """Make its tables what they have to be, and open them to the role of PostgreSQL, if given.

    Raises:
        ConfigError, Unfit, Unavailable: as :func:`open_store`.
    """
    with _named(url):
        if (file := file_of(url)) is not None:
            return sqlite_file.migrate(file, sqlite.SCHEMA)
        from tts.store import postgres  # noqa: PLC0415 -- as above
        from tts.store.postgres_server import PostgresServer  # noqa: PLC0415

        return await PostgresServer(url, direct=direct, size=1).migrate(postgres.SCHEMA, role)
