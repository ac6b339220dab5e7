"""The use cases: load a task, let it decide, append what it decided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import TopicError

from tts.application.archives import Facts, audio_keys
from tts.application.idempotency import IdempotentIds
from tts.domain.errors import NewerEvent
from tts.domain.naming import Lot, hash_payload
from tts.domain.task import Task
from tts.domain.values import AudioFormat, Priority
from tts.ports.audio import AudioStore
from tts.ports.errors import Conflict, Unavailable
from tts.ports.log import ArchivedTask, EventStore, Payload, Recorded
from tts.text import segments
from tts.transcoder import OrjsonTranscoder

NOBODY = "\0"  # no key's owner
CONFLICT_TRIES = 20  # a task has a handful of writers; more losses in a row are a fault


class TaskNotFound(Exception):
    """There is no such task, or it belongs to somebody else."""


class TaskArchived(TaskNotFound):
    """Its events are in an archive: nothing can happen to it any more."""

    def __init__(self, archived: ArchivedTask) -> None:
        super().__init__(
            f"task {archived.task_id} is over, and its events were moved to the archive "
            f"{archived.archive}"
        )
        self.archived = archived


class IdempotencyMismatch(Exception):
    """The idempotency key was used before, for another request."""


class Receipt(NamedTuple):
    """Which task a request got, and the version that the task is at."""

    id: UUID
    version: int


class _Wanted(NamedTuple):
    """What a request has to have in common with another one of the same idempotency key."""

    template_id: str
    text: str
    instruction: str
    audio_format: str | None
    default_format: str

    def is_of(self, task: Task | Facts, payload: Payload | None) -> bool:
        """Whether the task is of such a request.

        After an erasure nobody can tell what was said; the key still stands for the task. Who names
        no format both times has the same request, although the setting may have changed between.
        """
        words = self.text, self.instruction
        said = payload is None or (payload.text, payload.instruction) == words
        unnamed = self.audio_format is None and task.asked_format is None
        sounds = unnamed or task.audio_format == (self.audio_format or self.default_format)
        return said and sounds and task.template_id == self.template_id


class Erased(NamedTuple):
    """What became of a task whose words and audio are gone; ``at`` is since when, in ISO 8601."""

    owner: str
    status: str
    at: str
    position: int


def utc_now() -> datetime:
    """The present time with its offset; replaced in tests."""
    return datetime.now(UTC)


class Application:
    """Commands and loads over the event store; one per process.

    ``observe`` gets the events of each command that changed a task.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        max_attempts: int,
        deadline_seconds: int,
        segment_max_chars: int | None = None,
        speech_cleanup: bool = True,
        default_format: str = AudioFormat.WAV.value,
        now: Callable[[], datetime] = utc_now,
        observe: Callable[[Sequence[StoredEvent]], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.now = now
        self._observe = observe
        self._max_attempts = max_attempts
        self._segment_max_chars = segment_max_chars
        self._cleanup = speech_cleanup
        self._default_format = default_format
        self._deadline = timedelta(seconds=deadline_seconds)
        self._ids = IdempotentIds(store)
        self._mapper: Mapper[UUID] = Mapper(OrjsonTranscoder())

    # --- commands of the gateway

    async def request(
        self,
        *,
        template_id: str,
        text: str,
        instruction: str = "",
        owner: str = "",
        idempotency_key: str | None = None,
        priority: str = Priority.NORMAL.value,
        callback_url: str | None = None,
        audio_format: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[Receipt, int]:
        """Accept a request; returns which task it got and the position of the task's newest event.

        With an ``idempotency_key`` the owner's second request of that key gets the first's task.

        Raises:
            IdempotencyMismatch: the key stands for another text, instruction, template or format.
        """
        if instruction.isspace():  # the model fails on it
            instruction = ""
        now = self.now()
        wanted = _Wanted(template_id, text, instruction, audio_format, self._default_format)
        lot = Lot.draw()
        task_id = lot.task_id
        if idempotency_key is not None:
            task_id, *older = await self._ids.of(owner, idempotency_key)
            for each in older:
                if await self._is_there(each):
                    return await self._repeated(each, wanted)
        requested = Task.requested(
            id=task_id,
            template_id=template_id,
            text_hash=hash_payload(text, instruction, lot.salt),
            text_length=len(text),
            segments=segments.split(text, self._segment_max_chars, cleanup=self._cleanup),
            owner=owner,
            max_attempts=self._max_attempts,
            deadline_at=now + self._deadline,
            idempotency_key=idempotency_key,
            priority=priority,
            cleanup=self._cleanup,
            audio_suffix=lot.audio_suffix,
            callback_url=callback_url,
            audio_format=audio_format,
            default_format=self._default_for(audio_format),
            traceparent=traceparent,
            now=now,
        )
        event = self._mapper.to_stored_event(requested)
        try:
            position = await self.store.append([event], Payload(text, instruction, lot.salt))
            return Receipt(task_id, Task.INITIAL_VERSION), position
        except Conflict:
            if idempotency_key is None:
                raise
        return await self._repeated(task_id, wanted)

    def _default_for(self, audio_format: str | None) -> str | None:
        """What the log says of the setting: nothing where it does not matter, or is WAV."""
        default = self._default_format
        return None if audio_format or default == AudioFormat.WAV.value else default

    async def _repeated(self, task_id: UUID, wanted: _Wanted) -> tuple[Receipt, int]:
        existing: Task | Facts
        try:
            existing, position = await self.load(task_id)
            version = existing.version
        except TaskArchived as error:
            existing = Facts.read(error.archived)
            version, position = error.archived.version, error.archived.position
        payload = await self.store.payload(task_id)
        if not wanted.is_of(existing, payload):
            key = existing.idempotency_key
            raise IdempotencyMismatch(f"Idempotency-Key {key!r} has another request")
        return Receipt(task_id, version), position

    async def is_repeated(self, owner: str, idempotency_key: str | None) -> bool:
        """Whether a request of that key has been accepted already."""
        if idempotency_key is None:
            return False
        for task_id in await self._ids.of(owner, idempotency_key):
            if await self._is_there(task_id):
                return True
        return False

    async def _is_there(self, task_id: UUID) -> bool:
        return bool(await self.store.events(task_id) or await self.store.archived([task_id]))

    async def retry(
        self,
        task_id: UUID,
        *,
        by: str,
        reason: str,
        scope: str | None = None,
        version: int | None = None,
        check: Callable[[Task], None] | None = None,
        dry_run: bool = False,
    ) -> tuple[Task, int]:
        """Give a failed task another round of attempts; with ``version`` only as of that one.

        A dry run appends nothing, and is refused what the real one would be; ``check`` refuses by
        raising.

        Raises:
            TaskNotFound: no such task in the ``scope``.
            TransitionRefused: it has not failed.
            Conflict: it is at another version.
        """
        now = self.now()

        def command(task: Task) -> None:
            _require_version(task, version)
            if check is not None:
                check(task)
            task.request_retry(by=by, reason=reason, deadline_at=now + self._deadline, now=now)

        return await self.change(task_id, command, scope=scope, dry_run=dry_run)

    async def dismiss(
        self,
        task_id: UUID,
        *,
        by: str,
        reason: str,
        scope: str | None = None,
        version: int | None = None,
        dry_run: bool = False,
    ) -> tuple[Task, int]:
        """Take a failed task off the dead letters; with ``version`` only as of that one.

        A dry run appends nothing, and is refused what the real one would be.

        Raises:
            TaskNotFound: no such task in the ``scope``.
            TransitionRefused: it has not failed, or is dismissed already.
            Conflict: it is at another version.
        """

        def command(task: Task) -> None:
            _require_version(task, version)
            task.dismiss(by=by, reason=reason, now=self.now())

        return await self.change(task_id, command, scope=scope, dry_run=dry_run)

    async def cancel(
        self, task_id: UUID, *, by: str, reason: str, scope: str | None = None
    ) -> tuple[Task, int]:
        """Ask for the end of a task; asking again changes nothing.

        Raises:
            TaskNotFound: no such task in the ``scope``.
            TransitionRefused: it is over already.
        """

        def command(task: Task) -> None:
            if not task.cancel_requested:
                task.request_cancel(by=by, reason=reason, now=self.now())

        return await self.change(task_id, command, scope=scope)

    async def erase(
        self, task_id: UUID, audio: AudioStore, *, by: str, scope: str | None = None
    ) -> Erased:
        """Remove the words and the audio of a task that is over; asking again is fine.

        The event goes first: from then on nobody can retry the task, so nothing is made anew behind
        the removal. When this returns, everything is gone; when it raises, it can be asked again.

        Raises:
            TaskNotFound: no such task in the ``scope``.
            TransitionRefused: it is not over.
            StepError, Unavailable: something is still there.
        """

        def command(task: Task) -> None:
            if task.erased_at is None:
                task.erase(by=by, now=self.now())

        try:
            task, position = await self.change(task_id, command, scope=scope)
        except TaskArchived as error:
            return await self._erase_archived(error.archived, audio)
        # Audio may lie there although the task did not succeed, if its worker died in between.
        for key in audio_keys(task):
            await audio.delete(key)
        await self.store.erase(task_id)
        assert task.erased_at is not None  # noqa: S101 -- that is what the command does
        return Erased(task.owner, task.status.value, task.erased_at.isoformat(), position)

    async def _erase_archived(self, archived: ArchivedTask, audio: AudioStore) -> Erased:
        """Its words are here, not in the archive; that it is erased is said when all is gone."""
        facts = Facts.read(archived)
        for key in facts.audio:
            await audio.delete(key)
        await self.store.erase(archived.task_id)
        if not facts.is_erased:
            facts = facts.erased(self.now().isoformat())
            await self.store.amend(replace(archived, facts=facts.text))
        answer = facts.answer
        return Erased(archived.owner, answer["status"], answer["erasedAt"], archived.position)

    # --- loading and saving

    async def history(self, task_id: UUID, scope: str | None = None) -> list[Recorded]:
        """All events of a task that belongs to the owner ``scope``, or to anybody for None.

        Raises:
            TaskNotFound: there is none, or it is somebody else's; nobody can tell which.
            TaskArchived: there is one no longer.
        """
        events = await self.store.events(task_id)
        if not events:
            for archived in await self.store.archived([task_id]):
                if scope in {None, archived.owner}:
                    raise TaskArchived(archived)
        # One whose request the log has lost is no task any more.
        if not events or events[0].version != 1 or scope not in {None, owner_of(events[0])}:
            raise TaskNotFound(f"task {task_id} does not exist")
        return events

    async def archived(self, task_id: UUID, scope: str | None = None) -> ArchivedTask | None:
        """What is kept of a task that is archived; None for one that is in the log.

        Raises:
            TaskNotFound: as :meth:`history`.
        """
        try:
            await self.history(task_id, scope)
        except TaskArchived as error:
            return error.archived
        return None

    async def load(self, task_id: UUID, scope: str | None = None) -> tuple[Task, int]:
        """The task as the log has it, and the position of its newest event.

        Raises:
            TaskNotFound: as :meth:`history`.
        """
        events = await self.history(task_id, scope)
        return self.replay(events), events[-1].position

    def replay(self, events: Sequence[Recorded]) -> Task:
        """The task after ``events``, of which there is at least one: its own from the first on.

        Histories from before holes were refused may have some; what is there is what happened.

        Raises:
            NewerEvent
        """
        task: Task | None = None
        for event in events:
            if task is not None:
                task.version = event.version - 1
            stored = StoredEvent(event.task_id, event.version, event.topic, event.state)
            try:
                task = self._mapper.to_domain_event(stored).mutate(task)  # type: ignore[attr-defined]
            except TopicError as error:
                raise NewerEvent(event.topic) from error
        assert task is not None  # noqa: S101 -- there is at least one event
        return task

    async def caller_of(self, task_id: UUID) -> str | None:
        """The span in which the task was asked for, as far as the log tells."""
        with contextlib.suppress(Unavailable):
            for event in (await self.store.events(task_id))[:1]:
                traceparent: str | None = orjson.loads(event.state).get("traceparent")
                return traceparent
        return None

    def collect(self, task: Task) -> list[StoredEvent]:
        """Take the task's new events, as they are to be appended."""
        return [self._mapper.to_stored_event(event) for event in task.collect_events()]

    async def mark_queued(
        self,
        task_id: UUID,
        version: int,
        attempt: int,
        *,
        queue_position: int | None = None,
        estimated_wait_ms: int | None = None,
    ) -> None:
        """Append Queued right behind the version that ordered the work, unless something is there.

        What is there instead (a claim, which brings its own Queued, or a cancellation) makes it
        superfluous.
        """
        event = Task.Queued(  # type: ignore[call-arg] # mypy does not see the metaclass's dataclass
            originator_id=task_id,
            originator_version=version + 1,
            timestamp=self.now(),
            attempt=attempt,
            queue_position=queue_position,
            estimated_wait_ms=estimated_wait_ms,
        )
        with contextlib.suppress(Conflict):
            await self.store.append([self._mapper.to_stored_event(event)])

    async def change(
        self,
        task_id: UUID,
        command: Callable[[Task], None],
        *,
        scope: str | None = None,
        dry_run: bool = False,
    ) -> tuple[Task, int]:
        """Load, command, save; from the start again when somebody else was first."""
        for _ in range(CONFLICT_TRIES):
            task, position = await self.load(task_id, scope)
            command(task)
            if dry_run or not task.pending_events:
                return task, position
            events = self.collect(task)
            try:
                position = await self.store.append(events)
            except Conflict:
                continue
            self._observe(events)
            return task, position
        raise Conflict(f"task {task_id} changed {CONFLICT_TRIES} times while it was to be changed")


def owner_of(requested: Recorded) -> str:
    """Whose task it is; only its first event says so, and nobody's if the log has lost that."""
    return str(orjson.loads(requested.state).get("owner", NOBODY))


def _require_version(task: Task, version: int | None) -> None:
    if version not in {None, task.version}:
        raise Conflict(f"task {task.id} is at version {task.version}, not {version}")
