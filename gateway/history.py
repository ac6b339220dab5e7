"""Where a subscription starts in the log, and what it has missed there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

from gateway.errors import InvalidRequest
from gateway.services import Services
from gateway.streams.newer import readable
from gateway.tasks import task_id_of
from tts.domain.errors import NewerEvent
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.wire import ResetReason

TASKS_MAX = 100  # named in one subscription
BATCH = 500  # events of history read and encoded at a time: a few milliseconds
_ARCHIVED_MEANWHILE = "events were archived while a stream was to show them"
DIGITS_MAX = 19  # a longer number is beyond every position that a store can have

Tasks = frozenset[UUID] | None
"""What a subscription is about; None is everything."""

Archived = Mapping[UUID, int]
"""Tasks whose events are in an archive, and the position of the newest of each."""
NOTHING: Archived = MappingProxyType({})


@dataclass(frozen=True)
class Start:
    """Where a stream starts: after ``cursor``; a ``reason`` says why not after ``requested``.

    What is ``known`` already of what comes next is all of it up to the position ``known_to``. Of
    those ``archived`` nothing is to be had.
    """

    cursor: int
    reason: ResetReason | None = None
    requested: str = ""
    known: list[Recorded] = field(default_factory=list)
    known_to: int = 0
    archived: Archived = field(default_factory=dict)


class History:
    """The log up to where the hub stands; to be used while the hub follows."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hub = services.hub
        self._replay_limit = services.settings.sse_replay_limit

    async def archived(self, tasks: Tasks, scope: str | None) -> Archived:
        """Those of the named tasks whose events are in an archive.

        Raises:
            TaskNotFound: one is none of the owner's.
        """
        find = self._services.application.archived
        found = [(task_id, await find(task_id, scope)) for task_id in tasks or ()]
        return {task_id: kept.position for task_id, kept in found if kept is not None}

    async def start(
        self,
        tasks: Tasks,
        scope: str | None,
        last: str | None,
        begin: str | None,
        archived: Archived = NOTHING,
    ) -> Start:
        """Resume after the position ``last``, or else start at ``begin``: now, start, a position.

        A cursor that cannot be served is no error: the subscription says so and goes on from now.
        ``scope`` is the owner whose tasks are meant if all are; None means everybody's.

        Raises:
            InvalidRequest: ``begin`` means nothing.
            Unavailable: it is long ago, and the read model of tasks cannot be read.
        """
        hub = self._hub
        requested = last
        if not requested:
            requested = begin or ("now" if tasks is None else "start")
            if requested == "now":
                return Start(hub.position)
            requested = "0" if requested == "start" else requested
            if _position(requested) is None:
                raise InvalidRequest(f"from: must be now, start or a position, not {requested!r}")
        cursor = _position(requested)
        if cursor is None:
            return Start(hub.position, "unknown", requested)
        if cursor > hub.position:
            if cursor > await self._services.log.position():
                return Start(hub.position, "future", requested)
            await hub.reach(cursor)
        start = await self._after(tasks, scope, cursor, archived)
        if isinstance(start, Start):
            return start
        return Start(hub.position, start, requested, archived=archived)

    async def _after(
        self, tasks: Tasks, scope: str | None, cursor: int, archived: Archived
    ) -> Start | ResetReason:
        """The start after a cursor that the hub has come to, or why there is none."""
        epochs = self._services.log.epochs
        try:
            epochs.check(cursor)
        except WentBack:  # a future that will not come any more
            return "future"
        if tasks is not None:
            missed = any(cursor < position for position in archived.values())
            return "archived" if missed else Start(cursor, archived=archived)
        start: Start | None = Start(cursor)
        if epochs.span(cursor, self._hub.position) > self._replay_limit:
            start = await self._after_others(scope, cursor) if scope is not None else None
        if await self._is_archived(cursor):
            return "archived"
        return start or "too_old"

    async def _is_archived(self, cursor: int) -> bool:
        """Whether what was read after the cursor, up to now, may lack something."""
        await self._services.log.position()
        return cursor < self._services.log.archived_to

    async def _after_others(self, scope: str, cursor: int) -> Start | None:
        """Resume one owner's stream however much others have done; None for too much of its own."""
        limit = self._replay_limit
        changed = await self._services.tasks.changed(scope, cursor, limit + 1)
        if self._services.log.epochs.span(changed.position, self._hub.position) > limit:
            return None  # the read model is far behind
        known: list[Recorded] = []
        for task_id in changed.task_ids:
            events = await self._services.application.store.events(task_id)
            known += [e for e in events if cursor < e.position <= changed.position]
            if len(known) > limit:
                return None
        known.sort(key=lambda event: event.position)
        return Start(cursor, known=known, known_to=changed.position)

    async def events(
        self, tasks: Tasks, scope: str | None, start: Start, until: int
    ) -> AsyncIterator[list[Recorded]]:
        """Everything about the tasks from the ``start`` on, up to ``until``, in order.

        Raises:
            NewerEvent: the next one cannot be shown; all before it were.
            Unavailable: what comes next was archived meanwhile; who comes back is told so.
        """
        after = start.cursor
        if tasks is not None:
            events = [
                event
                for task in tasks
                if task not in start.archived
                for event in await self._of_task(task)
            ]
            events.sort(key=lambda event: event.position)
            events = [event for event in events if after < event.position <= until]
            yield (known := await self._readable(events))
            _refuse_rest(events, known)
            return
        if start.known_to > after:
            events = [event for event in start.known if event.position <= until]
            after = start.known_to
            for n in range(0, len(events), BATCH):
                batch = events[n : n + BATCH]
                yield (known := await self._readable(batch))
                _refuse_rest(batch, known)
        while after < until:
            batch = await self._services.log.read(after, BATCH)
            if after < self._services.log.archived_to:
                raise Unavailable(_ARCHIVED_MEANWHILE)
            if not batch:  # the log has just gone back; the hub is about to say so
                return
            after = batch[-1].position
            batch = [event for event in batch if event.position <= until]
            if scope is not None:
                owners = await self._services.hub.owners.of(batch)
                batch = [event for event in batch if owners[event.task_id] == scope]
            yield (known := await self._readable(batch))
            _refuse_rest(batch, known)

    async def _of_task(self, task_id: UUID) -> list[Recorded]:
        if not (events := await self._services.application.store.events(task_id)):
            raise Unavailable(_ARCHIVED_MEANWHILE)
        return events

    async def _readable(self, events: list[Recorded]) -> list[Recorded]:
        """The events up to the first of a newer version, with their templates at hand."""
        known = readable(events)
        await self._hub.owners.of(known)
        return known


def tasks_of(names: list[str]) -> frozenset[UUID]:
    """The tasks that a client names.

    Raises:
        InvalidRequest: too many.
        TaskNotFound: one is no id.
    """
    if len(names) > TASKS_MAX:
        raise InvalidRequest(f"taskId: at most {TASKS_MAX} tasks in one stream")
    return frozenset(map(task_id_of, names))


def _refuse_rest(events: list[Recorded], known: list[Recorded]) -> None:
    if len(known) < len(events):
        raise NewerEvent(events[len(known)].topic)


def _position(text: str) -> int | None:
    """A position, however large; None for anything else."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text[: DIGITS_MAX + 1])
