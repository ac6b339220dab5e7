"""Metrics of the event store."""

from __future__ import annotations

from prometheus_client import Counter

from tts.observability.metrics.registries import PROCESS

LOST_POSITIONS = Counter(
    "tts_log_lost_positions_total",
    "Positions that this process had seen in the log and that are gone: it went back.",
    registry=PROCESS,
)


def observe_loss(positions: int) -> None:
    """Count what the log has lost."""
    LOST_POSITIONS.inc(positions)
