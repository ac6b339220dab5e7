"""What the service tells of itself, and how it refuses."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import (
    ErrorCode,
    ErrorText,
    EstimatedWaitMs,
    Position,
    PriorityName,
    Seconds,
    Time,
)

PartName = Literal["gateway", "relay", "processor", "projector"]
TroubleCode = Literal["no_part", "no_leader", "need_away", "behind"]


class Refusal(TypedDict):
    """Why a request was not served."""

    success: Literal[False]
    error: Annotated[
        str, Field(description="A sentence for people; it names the field, if one is wrong.")
    ]
    code: Annotated[str, Field(description="What is wrong, for machines.")]
    taskId: NotRequired[Annotated[str, Field(description="The task that it is about.")]]


class Lag(TypedDict):
    """How far it is behind the log."""

    events: Annotated[
        int | None, Field(ge=0, description="Null where only the time is known, as of a relay.")
    ]
    seconds: Annotated[Seconds, Field(description="Age of the next event that it has to do.")]


class LastProblem(TypedDict):
    """The last warning or error in a process's log; it may be long over."""

    at: Time
    message: str


class Part(TypedDict):
    """One part in one process, as it last told of itself; null is what it did not tell."""

    part: PartName
    name: Annotated[str, Field(description="Of the process: its host and its number there.")]
    state: Annotated[
        Literal["alive", "silent"],
        Field(description="`silent`: nothing was heard for ten seconds, and nobody said goodbye."),
    ]
    heardAt: Time
    silentSeconds: Annotated[Seconds, Field(description="Since it was heard of last.")]
    version: str | None
    startedAt: Time | None
    role: Annotated[
        Literal["leading", "standing by"] | None, Field(description="Of a relay or a projector.")
    ]
    lag: Lag | None
    busy: Annotated[int | None, Field(ge=0, description="Tasks that a processor works on.")]
    places: Annotated[int | None, Field(ge=0, description="How many it works on at most.")]
    streams: Annotated[int | None, Field(ge=0, description="Open streams of a gateway.")]
    needs: Annotated[
        dict[str, str], Field(description="What its process needs: `ok`, or what is wrong.")
    ]
    awaySince: Annotated[dict[str, Time], Field(description="Of those needs that are not `ok`.")]
    lastProblem: LastProblem | None


class QueueDepth(TypedDict):
    """What waits, as the leading relay tells."""

    backlog: Annotated[
        dict[PriorityName, int], Field(description="Tasks that wait for their turn.")
    ]
    published: Annotated[int, Field(ge=0, description="With the broker, and taken by nobody yet.")]
    unfinished: Annotated[int, Field(ge=0, description="Tasks that are not over.")]
    oldestSeconds: Annotated[Seconds, Field(description="Age of the oldest one that is not over.")]
    oldestWaitSeconds: Annotated[
        Seconds | None,
        Field(description="How long the one has waited that waits longest; 0 while none does."),
    ]
    estimatedWaitMs: Annotated[
        EstimatedWaitMs | None,
        Field(
            description="About how many milliseconds a new task waits that stands behind all that "
            "wait now; null while nobody knows. One of an owner with fewer tasks comes sooner."
        ),
    ]
    ready: Annotated[
        dict[str, int] | None,
        Field(description="Messages that lie in each queue; null while the broker is away."),
    ]


class Trouble(TypedDict):
    """Something that is missing or away, and what to do."""

    code: TroubleCode
    subject: Annotated[str, Field(description="Which part or need: `processor`, `queue`.")]
    since: Time | None
    message: str
    meanwhile: Annotated[str, Field(description="What it does to tasks and to what is shown.")]
    action: Annotated[str, Field(description="What an operator does.")]


class Service(TypedDict):
    """The whole service: how many parts of each kind are alive, and what is wrong."""

    parts: dict[PartName, int]
    troubles: list[Trouble]


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
    service: NotRequired[Annotated[Service, Field(description="With `deep`.")]]


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
    parts: Annotated[list[Part], Field(description="Of all processes, this one among them.")]
    queue: Annotated[
        QueueDepth | None, Field(description="Null while no relay is leading, or it does not know.")
    ]
    troubles: Annotated[list[Trouble], Field(description="Empty while all is well.")]
