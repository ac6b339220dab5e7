"""What clients send, as models: the validation and the published schema."""

from gateway.models.bodies import (
    Body,
    CancelRequest,
    DeadLetterFilter,
    DismissRequest,
    PredictionNews,
    RedriveRequest,
    RetryRequest,
    SpeechRequest,
    speech_request,
)
from gateway.models.parsing import parse_body, parse_query
from gateway.models.queries import (
    DeadLetterQuery,
    FailuresQuery,
    HealthQuery,
    SeriesQuery,
    StatsQuery,
    TaskFilter,
    TemplatesQuery,
    TimeTravel,
    UsageQuery,
)

__all__ = [
    "Body",
    "CancelRequest",
    "DeadLetterFilter",
    "DeadLetterQuery",
    "DismissRequest",
    "FailuresQuery",
    "HealthQuery",
    "PredictionNews",
    "RedriveRequest",
    "RetryRequest",
    "SeriesQuery",
    "SpeechRequest",
    "StatsQuery",
    "TaskFilter",
    "TemplatesQuery",
    "TimeTravel",
    "UsageQuery",
    "parse_body",
    "parse_query",
    "speech_request",
]
