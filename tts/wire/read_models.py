"""What read models answer besides tasks: how fresh they are, series of statistics, templates."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import NextCursor, Position, Seconds, StatusName, Time
from tts.wire.service import Lag

Count = Annotated[int, Field(ge=0)]


class Fresh(TypedDict):
    """Up to where an answer has come."""

    position: Position
    lag: Annotated[Lag | None, Field(description="Null while the log cannot be read.")]


class Stats(Fresh):
    """How many tasks there are in each status, whoever owns them."""

    tasks: dict[StatusName, int]


class Durations(TypedDict):
    """How long something took, in seconds, to a twentieth: most of them at most so long."""

    count: Annotated[int, Field(ge=1)]
    p50: Seconds
    p95: Seconds
    p99: Seconds


class SeriesPoint(TypedDict):
    """What happened in one span of time. Durations are those of tasks that ended in it."""

    start: Time
    accepted: Annotated[Count, Field(description="Requests.")]
    succeeded: Count
    failed: Annotated[Count, Field(description="For good, until somebody has them retried.")]
    failures: Annotated[dict[str, int], Field(description="Those by the error's code, most first.")]
    canceled: Count
    retries: Annotated[Count, Field(description="By itself and by hand.")]
    queueWait: Annotated[Durations | None, Field(description="Until a processor took it.")]
    prediction: Annotated[Durations | None, Field(description="Of each prediction, at Replicate.")]
    download: Annotated[Durations | None, Field(description="Of each prediction's output.")]
    store: Annotated[Durations | None, Field(description="Until the audio was stored.")]
    total: Annotated[Durations | None, Field(description="From the request to its success.")]
    firstAudio: Annotated[
        Durations | None, Field(description="Until the first part could be heard.")
    ]


class StatsSeries(Fresh):
    """Points in order, without those in which nothing happened."""

    span: str
    since: Time
    until: Time
    points: list[SeriesPoint]


class TemplateUse(TypedDict):
    """What comes of the tasks of one template."""

    templateId: str
    lastUsedAt: Annotated[Time, Field(description="When it was asked for last.")]
    tasks: Count
    succeeded: Count
    failed: Annotated[Count, Field(description="Each time that a task failed for good.")]
    canceled: Count
    failureRate: Annotated[
        float | None,
        Field(ge=0, le=1, description="Of those that succeeded or failed; null if there is none."),
    ]


class TemplateList(Fresh):
    """One page of templates, by name."""

    templates: list[TemplateUse]
    nextCursor: NextCursor
