"""What the gateway needs, given to it by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from gateway.access.admission import Admission
from gateway.queue_limit import QueueLimit
from gateway.quotas import Quotas, Standing
from gateway.streams.hub import Hub
from tts.application.dead_letters import DeadLetterQueries
from tts.application.task_list import TaskSelection
from tts.application.tasks import Application
from tts.config import Settings
from tts.observability.health import Notes, Probe
from tts.ports.audio import AudioStore
from tts.ports.callbacks import CallbackTable
from tts.ports.coordination import Signals
from tts.ports.log import Log
from tts.ports.roster import Roster
from tts.ports.tracing import Tracing
from tts.wire import Gate

Upstream = Callable[[], Awaitable[Gate]]
"""The state of the gate before Replicate, as ``/system`` shows it."""


Metrics = Callable[[], Awaitable[bytes]]
"""What ``/metrics`` answers, as Prometheus reads it."""


class Secret(Protocol):
    """What webhooks are signed with."""

    async def key(self) -> bytes:
        """The key.

        Raises:
            Unavailable: it cannot be had now.
        """
        ...


@dataclass(frozen=True)
class Webhooks:
    """What it takes to check a webhook and to pass it on."""

    secret: Secret
    signals: Signals


class TaskPage(Protocol):
    """One page of a list of tasks: wire names, save for the audio's ``objectKey``."""

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks, newest first."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page starts; None on the last one."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that the page shows."""
        ...


class ChangedTasks(Protocol):
    """Tasks that something has happened to, as of a ``position`` in the log or later."""

    @property
    def task_ids(self) -> Sequence[UUID]:
        """The tasks, in no order."""
        ...

    @property
    def position(self) -> int:
        """All that happened up to there is in."""
        ...


class TaskQueries(Protocol):
    """The read model of tasks."""

    async def counts(self) -> dict[str, int]:
        """How many tasks there are in each status that has any.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...

    async def page(self, selection: TaskSelection, *, cursor: str | None, limit: int) -> TaskPage:
        """The tasks that match, behind the cursor.

        Raises:
            ValueError: the cursor is none of ours.
        """
        ...

    async def changed(self, owner: str, after: int, limit: int) -> ChangedTasks:
        """The owner's tasks that something has happened to since a position, at most ``limit``.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...


class UsagePage(Protocol):
    """One page of owners: wire names, save for what the gateway adds."""

    @property
    def owners(self) -> list[dict[str, Any]]:
        """The owners by name, each with its days, newest first."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page starts; None on the last one."""
        ...

    @property
    def position(self) -> int:
        """The position in the log that the page shows."""
        ...


class UsageQueries(Protocol):
    """The read model of what owners take; days are written as 2025-01-31."""

    async def standing(self, since: str) -> Standing:
        """What everybody has taken, on the days from ``since`` on.

        Raises:
            Unavailable: the read model cannot be read.
        """
        ...

    async def page(
        self, *, owner: str | None, since: str, cursor: str | None, limit: int
    ) -> UsagePage:
        """The owner, or everybody for None, with the days from ``since`` on."""
        ...


AudioFile = Callable[[str], Path]
"""The file of an object key, where audio is files of ours to serve; a ValueError for no key."""


@dataclass(frozen=True)
class Services:
    """Everything that a route may use."""

    settings: Settings
    application: Application
    log: Log
    audio: AudioStore
    audio_file: AudioFile | None
    tasks: TaskQueries
    usage: UsageQueries
    dead_letters: DeadLetterQueries
    probes: Mapping[str, Probe]
    notes: Notes
    upstream: Upstream
    roster: Roster
    tracing: Tracing
    hub: Hub
    admission: Admission
    queue_limit: QueueLimit
    quotas: Quotas
    webhooks: Webhooks | None
    callbacks: CallbackTable
    metrics: Metrics
