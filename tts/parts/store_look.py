"""What can be seen of the event store that the settings name, without making it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tts.config import file_of
from tts.store import sqlite, sqlite_file


@dataclass(frozen=True, slots=True)
class Seen:
    """Tables of that version (0 for none), and a clock that is so many seconds ahead of ours."""

    place: str
    version: int
    ahead: float | None


async def look_at_store(url: str, direct: str) -> Seen:
    """Look once, and do not wait.

    Raises:
        Unfit: it cannot be used as it is.
        Unavailable: it does not answer.
    """
    if (file := file_of(url)) is not None:
        version = await asyncio.to_thread(sqlite_file.look, file, sqlite.SCHEMA)
        return Seen(f"the file {file}", version, None)
    # Only who has a server pays for its driver.
    from tts.store import postgres  # noqa: PLC0415
    from tts.store.postgres_server import PostgresServer  # noqa: PLC0415

    version, ahead = await PostgresServer(url, direct=direct, size=1).look(postgres.SCHEMA)
    return Seen("the database", version, ahead)
