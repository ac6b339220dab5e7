"""What clients send in queries, as models: the validation and the published schema.

What is misspelt, or is no field of this query, is refused by name: an answer that ignores it would
be taken for one that does not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.models.bodies import DeadLetterFilter
from gateway.models.fields import (
    LIST_LIMIT,
    PERMANENT,
    Digits,
    Instant,
    Limit,
    Name,
    Position,
    Said,
    TemplateId,
    Word,
    flag,
    truth,
)
from tts.domain.values import Status

DAYS_MAX = 92  # of usage in one answer: a quarter
SEARCH_MAX_CHARS = 200
CURSOR = "The `nextCursor` of the page before."
AT_LEAST = (
    "Answer when what is asked has come to this position in the log, such as that of an answer to "
    "a command; 503 `read_model_behind` if it does not within five seconds."
)


class Query(BaseModel):
    """Base of the queries; those of the log itself have everything up to any position."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_least: Position | None = Field(default=None, alias="atLeast", description=AT_LEAST)


class TaskFilter(Query):
    """The query of ``GET /api/tts/tasks``."""

    status: Status | None = None
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    owner: Name | None = Field(
        default=None, description="Whose tasks; for keys that see everybody's."
    )
    code: Word | None = Field(
        default=None, description="The error's code: of the failure, or of the last attempt's."
    )
    since: Instant | None = Field(
        default=None, description="The earliest creation, as an ISO 8601 time with offset."
    )
    until: Instant | None = Field(
        default=None, description="They were created before this ISO 8601 time with offset."
    )
    search: Annotated[Said, Field(min_length=1, max_length=SEARCH_MAX_CHARS)] | None = Field(
        default=None,
        description="How the id begins (eight characters or more), or a piece of the text, in "
        "which the case of A to Z does not matter. What was erased is not found.",
    )
    cursor: Said | None = Field(default=None, description=CURSOR)
    limit: Limit = Field(default=LIST_LIMIT, description="How many tasks a page has at most.")


class HealthQuery(BaseModel):
    """The query of ``GET /health``; what is not known is ignored, as those who ask add to it."""

    model_config = ConfigDict(frozen=True)

    deep: Annotated[bool, BeforeValidator(flag)] = Field(
        default=False, description="Of the whole service, and not of this process alone: `1`."
    )


class FailuresQuery(Query):
    """The query of ``GET /api/failures``."""

    lang: Literal["en", "zh"] = Field(default="en", description="In which language.")


class UsageQuery(Query):
    """The query of ``GET /api/usage``."""

    owner: Name | None = Field(
        default=None, description="Whose usage; for keys that see everybody's."
    )
    days: Annotated[int, Field(ge=1, le=DAYS_MAX), Digits] = Field(
        default=1, description="How many days, today (UTC) among them."
    )
    cursor: Word | None = Field(default=None, description=CURSOR)
    limit: Limit = Field(default=LIST_LIMIT, description="How many owners a page has at most.")


class DeadLetterQuery(DeadLetterFilter, Query):
    """The query of ``GET /api/dead-letters``."""

    permanent: Annotated[bool, BeforeValidator(truth)] | None = Field(
        default=None, description=PERMANENT
    )
    cursor: Said | None = Field(default=None, description=CURSOR)
    limit: Limit = Field(default=LIST_LIMIT, description="How many a page has at most.")


class StatsQuery(Query):
    """The query of ``GET /api/stats``."""


class SeriesQuery(Query):
    """The query of ``GET /api/stats/series``."""

    span: Literal["minute", "hour", "day"] = Field(
        default="hour",
        description="How long each point is. Minutes are kept for a day, hours for 35 days.",
    )
    since: Instant | None = Field(
        default=None,
        description="From the point that holds this ISO 8601 time with offset; left out, the last "
        "hour of minutes, day of hours, or 30 days.",
    )
    until: Instant | None = Field(
        default=None, description="Up to this ISO 8601 time with offset; now, if left out."
    )
    owner: Name | None = Field(
        default=None, description="Whose tasks; for keys that see everybody's."
    )
    template_id: TemplateId | None = Field(default=None, alias="templateId")


class TemplatesQuery(Query):
    """The query of ``GET /api/templates``."""

    owner: Name | None = Field(
        default=None, description="Whose tasks; for keys that see everybody's."
    )
    cursor: Word | None = Field(default=None, description=CURSOR)
    limit: Limit = Field(default=LIST_LIMIT, description="How many templates a page has at most.")


class TimeTravel(Query):
    """The query of everything that can be seen as it was at a position."""

    as_of: Position | None = Field(
        default=None, alias="asOf", description="A position in the log; the newest if left out."
    )
