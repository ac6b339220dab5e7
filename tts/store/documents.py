"""Shared documents in PostgreSQL, of a service that is many processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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
    "WHERE d.version = %s RETURNING version, extract(epoch FROM clock_timestamp())::float8"
)
# By its body, too: a log that went back gives versions anew, and an operator gives none.
_REWRITE = (
    "UPDATE shared_documents SET body = %s, version = version + 1 "
    "WHERE name = %s AND version = %s AND body = %s "
    "RETURNING version, extract(epoch FROM clock_timestamp())::float8"
)


@dataclass(frozen=True, slots=True)
class _Left:
    """A document as this process has left it.

    ``ahead`` is the server's clock before the monotonic one; ``alone`` is whether nobody else had
    written since the time before.
    """

    body: bytes
    version: int
    ahead: float
    alone: bool


class PostgresDocuments:
    """Implements SharedDocument of :mod:`tts.ports.coordination` by comparing and swapping.

    Nobody holds a lock between the reading and the writing, so nobody who dies there is waited for.
    A process that writes alone does not even read: whether somebody else has written, the writing
    finds out.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._left: dict[str, _Left] = {}

    async def update(self, name: str, change: Callable[[bytes, float], tuple[bytes, T]]) -> T:
        """See :class:`tts.ports.coordination.SharedDocument`."""
        left = self._left.get(name)
        if left is not None and left.alone:
            document, result = change(left.body, left.ahead + time.monotonic())
            # What changes nothing would be said of a document that others may have changed.
            if document != left.body:
                replaced = (document, name, left.version, left.body)
                if await self._write(_REWRITE, replaced, name, document, alone=True):
                    return result
        while True:
            ((body, version, now),) = await self._server.query(_READ, (name,))
            document, result = change(body, now)
            if document == body:
                return result
            alone = left is not None and left.version == version
            written = (name, document, version)
            if await self._write(_WRITE, written, name, document, alone=alone):
                return result

    async def _write(
        self, sql: str, params: tuple[object, ...], name: str, document: bytes, *, alone: bool
    ) -> bool:
        """Whether nobody else was faster."""
        rows = await self._server.query(sql, params)
        for version, now in rows:
            self._left[name] = _Left(document, version, now - time.monotonic(), alone)
        return bool(rows)
