"""Every read model that there is."""

from __future__ import annotations

from collections.abc import Sequence

from projections.dead_letters import DeadLettersProjection
from projections.ports import Projection
from projections.stats import StatsProjection
from projections.tasks import TasksProjection
from projections.templates import TemplatesProjection
from projections.usage import UsageProjection

PROJECTIONS: Sequence[Projection] = (
    TasksProjection(),
    DeadLettersProjection(),
    UsageProjection(),
    StatsProjection(),
    TemplatesProjection(),
)
