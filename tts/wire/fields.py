"""Fields that several shapes have: their types, and what the published schemas say of them.

The descriptions and bounds are for the schemas alone; nothing is validated on its way out.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, GetPydanticSchema

from tts.domain.values import AudioFormat, Priority, Status

# Enums to whom it may concern, plain strings here: those are serialized in a third of the time.
StatusName = Annotated[str, GetPydanticSchema(lambda _, schema: schema(Status))]
PriorityName = Annotated[str, GetPydanticSchema(lambda _, schema: schema(Priority))]
FormatName = Annotated[
    str,
    GetPydanticSchema(lambda _, schema: schema(AudioFormat)),
    Field(description="What the audio is stored as."),
]
TaskId = Annotated[str, Field(description="The task's id.", json_schema_extra={"format": "uuid"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]  # ISO 8601, UTC
Position = Annotated[
    int,
    Field(
        ge=0,
        description="Where the log stands that this shows: streams and time travel start from it.",
    ),
]
Attempt = Annotated[int, Field(ge=1, description="Counts from one in each round of attempts.")]
SegmentIndex = Annotated[int, Field(ge=0, description="The part of the text, from 0 on.")]
Url = Annotated[
    str,
    Field(description="Where the audio can be fetched.", json_schema_extra={"format": "uri"}),
]
Bytes = Annotated[int, Field(ge=0, description="Size of the audio.")]
Seconds = Annotated[float, Field(ge=0)]
Duration = Annotated[Seconds, Field(description="Length of the audio in seconds.")]
NullableDuration = Annotated[Seconds | None, Field(description="Length of the audio in seconds.")]
ErrorText = Annotated[str, Field(description="Why the last attempt failed, for people.")]
ErrorCode = Annotated[str, Field(description="Why it failed, for machines.")]
ErrorStep = Annotated[str, Field(description="The step at which it failed.")]
Permanent = Annotated[bool, Field(description="Whether no repetition can help.")]
SpokenText = Annotated[str | None, Field(description="Null once it is erased.")]
Suspects = Annotated[
    list[Annotated[int, Field(ge=0)]],
    Field(description="The parts that may be cut short, or that are silent or broken."),
]
QueuePosition = Annotated[
    int,
    Field(
        ge=1,
        description="Its place among all that wait, 1 for the next one, by the fair turns of "
        "priorities and owners. It can move back: who comes later may have his turn before.",
    ),
]
EstimatedWaitMs = Annotated[
    int,
    Field(
        ge=0,
        description="About how many milliseconds until a processor takes it, from how long tasks "
        "took lately and how many are worked on at once; 0 while a place is free.",
    ),
]
NextCursor = Annotated[
    str | None, Field(description="The `cursor` of the next page; null on the last one.")
]
