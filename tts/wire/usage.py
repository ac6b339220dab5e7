"""What owners take, and how much they may."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import NextCursor, Seconds, Time
from tts.wire.read_models import Fresh

Day = Annotated[
    str,
    Field(description="A day in UTC.", json_schema_extra={"format": "date"}),
]
Count = Annotated[int, Field(ge=0)]


class UsageDay(TypedDict):
    """What an owner took on one day."""

    day: Day
    tasks: Annotated[Count, Field(description="Requests that were accepted.")]
    characters: Annotated[
        Count, Field(description="Of their texts; a retry adds none, an erasure takes none away.")
    ]
    predictions: Annotated[Count, Field(description="Predictions that were created.")]
    predictSeconds: Annotated[
        Seconds, Field(description="Of predictions that succeeded, as Replicate bills them.")
    ]
    audioSeconds: Annotated[Seconds, Field(description="Length of the finished audio.")]
    cost: Annotated[
        float | None,
        Field(
            ge=0,
            description="Of those predictions, by REPLICATE_PRICE_PER_SECOND; null without it.",
        ),
    ]


class Limits(TypedDict):
    """What an owner may take; null is no limit."""

    maxTasks: Annotated[Count | None, Field(description="Unfinished at a time.")]
    charactersPerDay: Count | None


class OwnerUsage(TypedDict):
    """What one owner takes and has taken."""

    owner: Annotated[str, Field(description="Empty where no keys are configured.")]
    unfinished: Annotated[Count, Field(description="Tasks that are not over.")]
    charactersToday: Count
    limits: Limits
    days: Annotated[
        list[UsageDay], Field(description="Newest first; without those on which nothing happened.")
    ]


class Usage(Fresh):
    """One page of owners, by name."""

    today: Day
    resetsAt: Annotated[Time, Field(description="When the characters count from zero again.")]
    owners: list[OwnerUsage]
    nextCursor: NextCursor
