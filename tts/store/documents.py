"""Shared documents in PostgreSQL, of a service that is many processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tts.store.postgres_server import PostgresServer


T = TypeVar("T")

# Seconds by the server's clock, which all processes share; a document that is not there is empty.
_READ = (
    "SELECT coalesce(body, ''), coalesce(version, 0), "
    "extract(epoch FROM clock_timestamp())::float8 "
    "FROM (SELECT) AS always LEFT JOIN shared_documents ON name = %s"
)
_WRITE = (
    "INSERT INTO shared_documents AS d (name, body, version) VALUES (%s, %s, 1) "
    "ON CONFLICT (name) DO UPDATE SET body = excluded.body, version = d.version + 1 "
    "WHERE d.version = %s RETURNING version"
)


class PostgresDocuments:
    """Implements SharedDocument of :mod:`tts.ports.coordination` by comparing and swapping.

    Nobody holds a lock between the reading and the writing, so nobody who dies there is waited for.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """See :class:`tts.ports.coordination.SharedDocument`."""
        while True:
            ((body, version, now),) = await self._server.query(_READ, (name,))
            document, result = change(body, now)
            if document == body:
                return result
            if await self._server.query(_WRITE, (name, document, version)):
                return result
