"""The table of callbacks beside the log, in SQL that SQLite and PostgreSQL both understand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tts.ports.callbacks import Callback, CallbackState
from tts.store.sqlite_aside import SQLiteAside

if TYPE_CHECKING:
    from tts.store.postgres_server import PostgresServer

Rows = list[tuple[Any, ...]]
Run = Callable[[str, Sequence[object]], Awaitable[Rows]]

COLUMNS = "task_id, version, url, host, state, attempts, began, due, updated, problem"
AT_ONCE = 50  # rows of one statement
_SELECT = f"SELECT {COLUMNS} FROM callbacks"  # noqa: S608 -- of the words above
_SAVE = (
    "UPDATE callbacks SET state = ?, attempts = ?, began = ?, due = ?, updated = ?, problem = ? "
    "WHERE task_id = ? AND version = ? RETURNING 1"
)
_NEXT = "SELECT min(due) FROM callbacks WHERE due > ?"
_COUNTS = "SELECT state, count(*) FROM callbacks GROUP BY state"
_PRUNE = "DELETE FROM callbacks WHERE due IS NULL AND updated < ? RETURNING 1"
_REPLAY = (
    "UPDATE callbacks SET state = 'pending', attempts = 0, due = ?, began = ?, updated = ? WHERE "
)


class CallbackRows:
    """Implements CallbackTable of :mod:`tts.ports.callbacks`.

    ``run`` runs one statement in a transaction of its own and returns its rows.
    """

    def __init__(self, run: Run, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._run = run
        self._close = close

    async def aclose(self) -> None:
        """Let go of a file; a server is closed by whoever opened it."""
        if self._close is not None:
            await self._close()

    @classmethod
    def in_sqlite(cls, path: Path) -> CallbackRows:
        """Those in the store's file, which the store has made."""
        aside = SQLiteAside(path, "callbacks")

        async def run(sql: str, params: Sequence[object]) -> Rows:
            return await aside.do(lambda connection: connection.execute(sql, params).fetchall())

        return cls(run, aside.aclose)

    @classmethod
    def in_postgres(cls, server: PostgresServer) -> CallbackRows:
        """Those in the store's database."""

        async def run(sql: str, params: Sequence[object]) -> Rows:
            return await server.query(sql.replace("?", "%s"), tuple(params))

        return cls(run)

    async def add(self, callbacks: Sequence[Callback]) -> None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        for start in range(0, len(callbacks), AT_ONCE):
            some = callbacks[start : start + AT_ONCE]
            row = f"({_marks(10)})"
            await self._run(
                f"INSERT INTO callbacks ({COLUMNS}) VALUES {', '.join([row] * len(some))} "  # noqa: S608
                "ON CONFLICT (task_id, version) DO NOTHING RETURNING 1",
                [value for callback in some for value in _values(callback)],
            )

    async def due(self, now: float, limit: int, *, without: Collection[str]) -> list[Callback]:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        but = f"AND host NOT IN ({_marks(len(without))}) " if without else ""
        sql = f"{_SELECT} WHERE due <= ? {but}ORDER BY due LIMIT ?"
        return _callbacks(await self._run(sql, (now, *without, limit)))

    async def next_due(self, after: float) -> float | None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        ((due,),) = await self._run(_NEXT, (after,))
        return None if due is None else float(due)

    async def save(self, callback: Callback) -> None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        *_, state, attempts, began, due, updated, problem = _values(callback)
        name = callback.task_id.hex, callback.version
        await self._run(_SAVE, (state, attempts, began, due, updated, problem, *name))

    async def newest(self, task_id: UUID) -> Callback | None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        sql = f"{_SELECT} WHERE task_id = ? ORDER BY version DESC LIMIT 1"
        return next(iter(_callbacks(await self._run(sql, (task_id.hex,)))), None)

    async def newest_first(self, state: CallbackState | None, limit: int) -> list[Callback]:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        where, params = ("WHERE state = ? ", [state.value]) if state else ("", [])
        sql = f"{_SELECT} {where}ORDER BY updated DESC, task_id LIMIT ?"
        return _callbacks(await self._run(sql, (*params, limit)))

    async def replay(self, task_ids: Collection[UUID] | None, now: float) -> int:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        if task_ids is None:
            sql = f"{_REPLAY} state = 'failed' RETURNING 1"
            return len(await self._run(sql, (now, now, now)))
        if not task_ids:
            return 0
        sql = f"{_REPLAY} task_id IN ({_marks(len(task_ids))}) RETURNING task_id"
        names = [task_id.hex for task_id in task_ids]
        return len(await self._run(sql, (now, now, now, *names)))

    async def forget(self, task_ids: Collection[UUID]) -> None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        sql = f"DELETE FROM callbacks WHERE task_id IN ({_marks(len(task_ids))}) RETURNING 1"  # noqa: S608
        await self._run(sql, [task_id.hex for task_id in task_ids])

    async def prune(self, before: float) -> None:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        await self._run(_PRUNE, (before,))

    async def counts(self) -> Mapping[CallbackState, int]:
        """See :class:`tts.ports.callbacks.CallbackTable`."""
        return {CallbackState(state): int(n) for state, n in await self._run(_COUNTS, ())}


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _values(callback: Callback) -> tuple[object, ...]:
    return (
        callback.task_id.hex,
        callback.version,
        callback.url,
        callback.host,
        callback.state.value,
        callback.attempts,
        callback.began,
        callback.due,
        callback.updated,
        callback.problem,
    )


def _callbacks(rows: Rows) -> list[Callback]:
    return [
        Callback(
            task_id=UUID(hex=task_id),
            version=version,
            url=url,
            state=CallbackState(state),
            attempts=attempts,
            began=began,
            due=due,
            updated=updated,
            problem=problem,
        )
        for task_id, version, url, _, state, attempts, began, due, updated, problem in rows
    ]
