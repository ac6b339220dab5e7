"""What the gateway needs, given to it by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.access.admission import Admission
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
    stats: StatsQueries
    templates: TemplateQueries
    freshness: Freshness
    probes: Mapping[str, Probe]
    notes: Notes
    upstream: Upstream
    roster: Roster
    outlook: Outlook
    tracing: Tracing
    hub: Hub
    admission: Admission
    queue_limit: QueueLimit
    quotas: Quotas
    webhooks: Webhooks | None
    callbacks: CallbackTable
    metrics: Metrics
