"""The gateway of a process, over its composition."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.app import Gateway, own_metrics
from gateway.services import Metrics, Services, Webhooks
from projections.dead_letter_queries import DeadLetterQueries
from projections.ports import Database
from projections.stats_queries import StatsQueries
from projections.task_queries import TaskQueries
from projections.template_queries import TemplateQueries
from projections.usage_queries import UsageQueries
from tts.audio.folder import FolderAudio
from tts.bootstrap import Composition
from tts.observability.health import Notes, Probe


def compose_gateway(
    parts: Composition,
    database: Database,
    probes: Mapping[str, Probe],
    notes: Notes = tuple,
    metrics: Metrics | None = None,
) -> Gateway:
    """A gateway over the read models in the database; ``metrics`` are those of the process."""
    services = Services(
        settings=parts.settings,
        application=parts.application,
        log=parts.store,
        audio=parts.audio,
        audio_file=parts.audio.path if isinstance(parts.audio, FolderAudio) else None,
        tasks=TaskQueries(database),
        usage=UsageQueries(database),
        dead_letters=DeadLetterQueries(database),
        stats=StatsQueries(database),
        templates=TemplateQueries(database),
        probes=probes,
        of_process=notes,
        upstream=parts.gate.state,
        roster=parts.roster,
        tracing=parts.tracing,
        webhooks=Webhooks(parts.webhook_secret, parts.signals) if parts.signals else None,
        callbacks=parts.callback_table,
        metrics=metrics or own_metrics,
    )
    return Gateway(services)
