"""What the service tells of itself, and how it refuses."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import ErrorCode, ErrorText, Position, Seconds, StatusName, Time


class Refusal(TypedDict):
    """Why a request was not served."""

    success: Literal[False]
    error: Annotated[
        str, Field(description="A sentence for people; it names the field, if one is wrong.")
    ]
    code: Annotated[str, Field(description="What is wrong, for machines.")]
    taskId: NotRequired[Annotated[str, Field(description="The task that it is about.")]]


class Health(TypedDict):
    """Each part that the process needs: ``ok``, or what is wrong with it."""

    status: Literal["ok", "unhealthy"]
    parts: dict[str, str]
    notes: NotRequired[
        Annotated[
            list[str], Field(description="What an operator should mend although all is well.")
        ]
    ]
    role: NotRequired[
        Annotated[
            Literal["leading", "standing by"],
            Field(description="Of a relay or a projector that runs on its own."),
        ]
    ]


class Healthy(TypedDict):
    """The whole answer while every part answers."""

    success: Literal[True]
    data: Health


class Unhealthy(Refusal):
    """Which part does not answer."""

    data: Health


class Deployment(TypedDict):
    """What the service stands on."""

    kind: Literal["embedded", "distributed"]
    store: Literal["sqlite", "postgresql"]
    queue: Literal["memory", "rabbitmq"]
    audio: Literal["folder", "s3"]


class GateReason(TypedDict):
    """What shut the gate."""

    code: ErrorCode
    message: ErrorText


class GateLimits(TypedDict):
    """What the operator allows; null is no limit."""

    createsPerMinute: int | None
    inFlight: int | None


class Gate(TypedDict):
    """The gate before Replicate, which all processors of the account share."""

    state: Annotated[
        Literal["closed", "open", "half-open"],
        Field(
            description="Of its circuit breaker: `closed` lets creations through, `open` holds "
            "them back, `half-open` tries one."
        ),
    ]
    reason: GateReason | None
    since: Time | None
    until: Annotated[Time | None, Field(description="When a creation is tried again.")]
    failures: Annotated[int, Field(ge=0, description="Failed creations in a row.")]
    createsPerMinute: Annotated[
        float | None, Field(description="What is allowed now: after a 429 less than the limit.")
    ]
    inFlight: Annotated[int, Field(ge=0)]
    waiting: Annotated[int, Field(ge=0, description="Creations of this process that wait.")]
    limits: GateLimits


class System(TypedDict):
    """What runs here."""

    version: str
    python: str
    uptimeSeconds: Seconds
    deployment: Deployment
    position: Position
    streams: Annotated[int, Field(ge=0, description="Open streams of this gateway.")]
    gate: Gate


class Stats(TypedDict):
    """How many tasks there are in each status, whoever owns them."""

    tasks: dict[StatusName, int]
