"""What the gateway needs, given to it by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from gateway.access.admission import Admission
from gateway.access.roles import Quota
from gateway.freshness import Freshness
from gateway.outlook import Outlook
from gateway.queue_limit import QueueLimit
from gateway.quotas import Quotas
from gateway.read_models import (
    DeadLetterQueries,
    StatsQueries,
    TaskQueries,
    TemplateQueries,
    UsageQueries,
)
from gateway.streams.hub import Hub
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


AudioFile = Callable[[str], Path]
"""The file of an object key, where audio is files of ours to serve; a ValueError for no key."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything that a route may use: what the composition root gives, and what is made of it.

    ``of_process`` are notes of the process that the gateway is in.
    """

    settings: Settings
    application: Application
    log: Log
    audio: AudioStore
    audio_file: AudioFile | None
    tasks: TaskQueries
    usage: UsageQueries
    dead_letters: DeadLetterQueries
    stats: StatsQueries
    templates: TemplateQueries
    probes: Mapping[str, Probe]
    of_process: Notes
    upstream: Upstream
    roster: Roster
    tracing: Tracing
    webhooks: Webhooks | None
    callbacks: CallbackTable
    metrics: Metrics

    @cached_property
    def hub(self) -> Hub:
        """Where all streams come together."""
        return Hub(
            self.log,
            events=self.application.store.events,
            audio_url=self.audio.url,
            heartbeat_seconds=self.settings.sse_heartbeat_interval_ms / 1000,
            now=self.application.now,
        )

    @cached_property
    def admission(self) -> Admission:
        """Who may do what."""
        return Admission(self.settings, self.application.now)

    @cached_property
    def queue_limit(self) -> QueueLimit:
        """Whether too many tasks wait."""
        return QueueLimit(self.tasks.counts, self.settings.queue_max_tasks)

    @cached_property
    def quotas(self) -> Quotas:
        """How much each owner may take."""
        return Quotas(
            self.usage.standing,
            self.log,
            self.hub.owners.of,
            Quota(self.settings.owner_max_tasks, self.settings.owner_characters_per_day),
            self.application.now,
        )

    @cached_property
    def freshness(self) -> Freshness:
        """How far the read models are behind."""
        return Freshness(self.log, self.application.now)

    @cached_property
    def outlook(self) -> Outlook:
        """How long tasks will wait."""
        return Outlook(self.roster)

    def notes(self) -> Sequence[str]:
        """What an operator should mend although everything works."""
        return [*self.of_process(), *self.admission.notes(), *self.hub.newer.notes()]
