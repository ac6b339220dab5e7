"""The event store that the settings name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tts.config import ConfigError
from tts.observability.metrics import observe_loss
from tts.patience import Outage
from tts.store.postgres import PostgresStore
from tts.store.postgres_server import UnreadableUrl
from tts.store.sqlite import SQLiteStore

START_PATIENCE_SECONDS = 60.0  # a supervisor may start us before the database, or while it restarts

Store = SQLiteStore | PostgresStore


@contextlib.asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The event store, waited for and open.

    Raises:
        ConfigError: the URL cannot be read.
        Unavailable: there is none, a minute long.
    """
    store = store_at(url)
    try:
        outage = Outage("Waiting for the event store")
        try:
            await outage.wait_out(store.open, at_most=START_PATIENCE_SECONDS)
        except UnreadableUrl as error:
            raise ConfigError(f"EVENT_STORE_URL: {error}") from error
        yield store
    finally:
        await store.aclose()


def store_at(url: str) -> Store:
    """The event store, not opened yet.

    Raises:
        ConfigError: the URL cannot be read.
    """
    if url.startswith("sqlite:"):
        return SQLiteStore(Path(url.removeprefix("sqlite:///")), observe_loss=observe_loss)
    try:
        return PostgresStore(url, observe_loss=observe_loss)
    except UnreadableUrl as error:
        raise ConfigError(f"EVENT_STORE_URL: {error}") from error
