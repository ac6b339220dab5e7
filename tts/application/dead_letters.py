"""Dead letters: tasks that failed for good, until somebody has them retried or lets them be.

The read model finds them, the log decides: a task that changed since is left alone. Nothing of a
redrive is kept in a process. Each call does what a request has time for and says where the next one
goes on, so that a crash in the middle costs a call: whatever was redriven is in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tts.application.tasks import Application, TaskNotFound
from tts.domain.errors import DomainError
from tts.domain.values import Status
from tts.ports.errors import BadCursor, Conflict
from tts.wire import DeadLetterDetails, DeadLetterPage, dead_letter, predictions, timeline

WORK_SECONDS = 5.0  # of one call, well under the patience of any proxy
CHUNKS_PER_SECOND = 10
DISMISSALS_PER_SECOND = 500  # they make no work for anybody
REASON_MAX_CHARS = 200  # streams show it


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which dead letters; None is all. They failed at ``since`` or later, and before ``until``."""

    owner: str | None = None
    code: str | None = None
    step: str | None = None
    template_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    permanent: bool | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A task and its version when it failed; the list goes on behind ``cursor``."""

    task_id: UUID
    version: int | None
    cursor: str


class DeadLetterQueries(Protocol):
    """The read model of dead letters; a cursor that is no letter's is a BadCursor."""

    async def page(self, selection: Selection, *, cursor: str | None, limit: int) -> list[Letter]:
        """The dead letters behind the cursor, those that failed last first."""
        ...

    async def counts(self, selection: Selection, *, cursor: str | None = None) -> dict[str, int]:
        """How many dead letters there are behind the cursor, by error code, most first."""
        ...


class NotADeadLetter(Exception):
    """The task has not failed, so there is nothing to inspect."""


@dataclass(slots=True)
class Outcome:
    """What one call has done: ``next`` is the cursor of the call that goes on, None at the end."""

    matched: int
    done: list[UUID] = field(default_factory=list)
    skipped: list[tuple[UUID, Exception]] = field(default_factory=list)
    remaining: int = 0
    next: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bulk:
    """What is to be done to whom: the tasks named, or else those selected.

    ``scope`` is the owner whose tasks they must be, or None; ``limit`` bounds the tasks that
    are looked at, ``cursor`` is an earlier call's ``next``. A dry run changes nothing.
    """

    by: str
    reason: str
    tasks: Sequence[UUID] | None = None
    selection: Selection = Selection()
    scope: str | None = None
    cursor: str | None = None
    limit: int | None = None
    dry_run: bool = False


Order = Callable[..., Awaitable[object]]
"""A command of the application on one task."""


class DeadLetters:
    """List, inspect, redrive and dismiss."""

    def __init__(self, application: Application, queries: DeadLetterQueries) -> None:
        self._application = application
        self._queries = queries

    async def page(self, selection: Selection, *, cursor: str | None, limit: int) -> DeadLetterPage:
        """One page on the wire, and the counts by code.

        A letter that was retried or dismissed a moment ago is left out before the read model knows.

        Raises:
            BadCursor: ``cursor`` is no page's.
        """
        letters = await self._queries.page(selection, cursor=cursor, limit=limit + 1)
        counts = await self._queries.counts(selection)
        page = letters[:limit]
        read = self._application.store.events
        histories = await asyncio.gather(*(read(letter.task_id) for letter in page))
        answers = [
            dead_letter(self._application.replay(events), events)
            for letter, events in zip(page, histories, strict=True)
            if events[-1].version == letter.version
        ]
        more = len(letters) > limit
        return {
            "deadLetters": answers,
            "counts": counts,
            "total": sum(counts.values()),
            "nextCursor": page[-1].cursor if more else None,
        }

    async def inspect(
        self, task_id: UUID, audio_url: Callable[[str], str], scope: str | None = None
    ) -> DeadLetterDetails:
        """A failed task with all that is known of it, dismissed or not.

        Raises:
            TaskNotFound: no such task in the ``scope``.
            NotADeadLetter: it has not failed.
        """
        events = await self._application.history(task_id, scope)
        task = self._application.replay(events)
        if task.status is not Status.FAILED:
            raise NotADeadLetter(f"task {task.id} has not failed: it is {task.status}")
        payload = await self._application.store.payload(task_id)
        return {
            **dead_letter(task, events),
            "ttsText": payload.text if payload else None,
            "instruction": (payload.instruction or None) if payload else None,
            "dismissedAt": task.dismissed_at.isoformat() if task.dismissed_at else None,
            "erasedAt": task.erased_at.isoformat() if task.erased_at else None,
            "predictionsMade": predictions(events),
            "events": timeline(events, audio_url)["events"],
        }

    async def redrive(self, bulk: Bulk, *, per_second: int) -> Outcome:
        """Give the tasks another round of attempts, ``per_second`` of them in a second.

        Raises:
            BadCursor: the cursor is no earlier call's.
        """
        return await self._work(bulk, self._application.retry, per_second)

    async def dismiss(self, bulk: Bulk) -> Outcome:
        """Take the tasks off the dead letters.

        Raises:
            BadCursor: the cursor is no earlier call's.
        """
        return await self._work(bulk, self._application.dismiss, DISMISSALS_PER_SECOND)

    async def _work(self, bulk: Bulk, order: Order, per_second: int) -> Outcome:
        """Chunk by chunk, until the end, the limit, or the end of the time.

        The way leads back in time: what fails anew meanwhile is behind us and not met again.
        """
        now = asyncio.get_running_loop().time
        began = now()
        outcome = Outcome(matched=await self._count(bulk, bulk.cursor))
        size = max(1, per_second // CHUNKS_PER_SECOND)
        async for chunk, more in self._chunks_of(bulk, size):
            refusals = await asyncio.gather(*(_refusal(order, bulk, letter) for letter in chunk))
            for letter, refusal in zip(chunk, refusals, strict=True):
                if refusal is None:
                    outcome.done.append(letter.task_id)
                else:
                    outcome.skipped.append((letter.task_id, refusal))
            outcome.next = chunk[-1].cursor if more else None
            # What was skipped made no work, so it does not count.
            due = began + (0 if bulk.dry_run else len(outcome.done) / per_second)
            if not more or max(due, now()) - began >= WORK_SECONDS:
                break
            await asyncio.sleep(due - now())
        if outcome.next is not None:
            outcome.remaining = await self._count(bulk, outcome.next)
        return outcome

    async def _count(self, bulk: Bulk, cursor: str | None) -> int:
        if bulk.tasks is not None:
            return len(_named(bulk.tasks, cursor))
        return sum((await self._queries.counts(bulk.selection, cursor=cursor)).values())

    async def _chunks_of(self, bulk: Bulk, size: int) -> AsyncIterator[tuple[list[Letter], bool]]:
        """Letters, and whether there are more behind them; ``limit`` of them in all."""
        cursor, left = bulk.cursor, bulk.limit
        more = True
        while more and left != 0:
            most = size if left is None else min(size, left)
            if bulk.tasks is not None:
                letters = _named(bulk.tasks, cursor)[: most + 1]
            else:
                letters = await self._queries.page(bulk.selection, cursor=cursor, limit=most + 1)
            more = len(letters) > most
            chunk = letters[:most]
            if not chunk:
                return
            yield chunk, more
            cursor = chunk[-1].cursor
            left = None if left is None else left - len(chunk)


async def _refusal(order: Order, bulk: Bulk, letter: Letter) -> Exception | None:
    """Carry it out, or say why that cannot be for this one."""
    try:
        await order(
            letter.task_id,
            by=bulk.by,
            reason=bulk.reason,
            scope=bulk.scope,
            version=letter.version,
            dry_run=bulk.dry_run,
        )
    except (DomainError, TaskNotFound, Conflict) as refusal:
        return refusal
    return None


def _named(tasks: Sequence[UUID], cursor: str | None) -> list[Letter]:
    """The tasks behind the cursor, each once, in the order given."""
    letters = [Letter(task_id, None, str(task_id)) for task_id in dict.fromkeys(tasks)]
    if cursor is None:
        return letters
    for n, letter in enumerate(letters):
        if letter.cursor == cursor:
            return letters[n + 1 :]
    raise BadCursor(cursor)
