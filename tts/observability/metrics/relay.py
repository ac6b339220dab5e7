"""Metrics of the relay: its gauges are those of the one that leads."""

from __future__ import annotations

from prometheus_client import Counter

from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import RELAY
from tts.relay.rescue import Figures

BACKLOG = Known(
    "tts_backlog_tasks",
    "Tasks that wait for their turn in the relay, by priority.",
    ["priority"],
    registry=RELAY,
)
PUBLISHED = Known(
    "tts_published_tasks", "Tasks whose message no processor has taken yet.", registry=RELAY
)
UNFINISHED = Known("tts_unfinished_tasks", "Tasks that are not over.", registry=RELAY)
OLDEST = Known(
    "tts_oldest_unfinished_seconds", "Age of the oldest task that is not over.", registry=RELAY
)
READY = Known(
    "tts_queue_messages",
    "Messages that lie in a queue of the broker; absent while it does not say.",
    ["queue"],
    registry=RELAY,
)
RESCUES = Counter(
    "tts_rescued_tasks_total", "Tasks that got another message: theirs was lost.", registry=RELAY
)
REBUILDS = Counter(
    "tts_queue_rebuilds_total", "Times that a queue was filled from the log.", registry=RELAY
)


def observe_relay(figures: Figures | None) -> None:
    """Show what the relay tells after each look at its tasks; None when it leads no longer."""
    if figures is None:
        for gauge in (BACKLOG, PUBLISHED, UNFINISHED, OLDEST, READY):
            gauge.forget()
        return
    BACKLOG.replace(dict(figures.backlog))
    PUBLISHED.set(figures.published)
    UNFINISHED.set(figures.unfinished)
    OLDEST.set(figures.oldest_seconds)
    READY.replace({queue.value: count for queue, count in (figures.ready or {}).items()})
    RESCUES.inc(figures.rescued)
    REBUILDS.inc(figures.rebuilds)
