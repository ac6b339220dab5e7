"""Metrics of the event store."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from tts.observability.metrics.known import Known
from tts.observability.metrics.registries import PROCESS

LOST_POSITIONS = Counter(
    "tts_log_lost_positions_total",
    "Positions that this process had seen in the log and that are gone: it went back.",
    registry=PROCESS,
)


COMMIT_SECONDS = Histogram(
    "tts_commit_seconds",
    "Time of a commit of the event store, by this process.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
    registry=PROCESS,
)
COMMIT_APPENDS = Histogram(
    "tts_commit_appends",
    "Appends that went into one commit together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
    registry=PROCESS,
)


def observe_commit(appends: int, seconds: float) -> None:
    """Count a commit."""
    COMMIT_APPENDS.observe(appends)
    COMMIT_SECONDS.observe(seconds)


def observe_loss(positions: int) -> None:
    """Count what the log has lost."""
    LOST_POSITIONS.inc(positions)


CLOCK_SKEW = Known(
    "tts_clock_skew_seconds",
    "By how many seconds the clock of this machine is ahead of PostgreSQL's.",
    registry=PROCESS,
)


def observe_skew(seconds: float) -> None:
    """Know it as of now."""
    CLOCK_SKEW.set(seconds)
