"""What is counted: tasks, durations, usage, templates."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import Answer, Operation
from gateway.models import SeriesQuery, StatsQuery, TemplatesQuery, UsageQuery
from tts import wire

ERRORS = ("invalid_request", "forbidden", "read_model_behind")

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/stats"): Operation(
        id="getStats",
        tag="Operation",
        summary="Tasks by status",
        query=StatsQuery,
        answers={200: Answer("The counts", wire.Stats)},
        errors=("invalid_request", "read_model_behind"),
    ),
    ("GET", "/api/stats/series"): Operation(
        id="getStatsSeries",
        tag="Operation",
        summary="What happens and how long it takes, by minute, hour or day",
        description=(
            "An app's own tasks; for keys that see everybody's, all, or those of one `owner`. What "
            "happened counts in the span of time in which it did, and the durations of a task in "
            "that in which it ended. At most 1,500 points."
        ),
        query=SeriesQuery,
        answers={200: Answer("The points", wire.StatsSeries)},
        errors=ERRORS,
        path_example="/api/stats/series?span=minute",
    ),
    ("GET", "/api/usage"): Operation(
        id="getUsage",
        tag="Operation",
        summary="What owners take, and how much they may",
        description=(
            "An app's own usage; for keys that see everybody's, that of all owners by name, or of "
            "one `owner`. It follows the log within moments; `position` says how far it has come. "
            "The limits are those that new requests are held against (429 `too_many_tasks`, "
            "`characters_exhausted`): the key's own or the service's, and of an owner with several "
            "keys the widest. With `REPLICATE_PRICE_PER_SECOND` each day has its cost."
        ),
        query=UsageQuery,
        answers={200: Answer("One page", wire.Usage)},
        errors=("invalid_request", "forbidden", "read_model_behind"),
        path_example="/api/usage?days=7",
    ),
    ("GET", "/api/templates"): Operation(
        id="listTemplates",
        tag="Operation",
        summary="Which templates are used",
        description=(
            "By name, with what has come of their tasks since the beginning: of an app's own, or "
            "of everybody's or one `owner`'s for keys that see those. For how it goes lately, see "
            "`/api/stats/series?templateId=…`."
        ),
        query=TemplatesQuery,
        answers={200: Answer("One page", wire.TemplateList)},
        errors=ERRORS,
    ),
}
