"""What clients get, as models: the published schema, against which tests hold real answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from tts.domain.values import Priority, Status

TaskId = Annotated[str, Field(description="The task's id.", json_schema_extra={"format": "uuid"})]
Position = Annotated[
    int,
    Field(
        ge=0,
        description="Where the log stands that this shows: streams and time travel start from it.",
    ),
]
Attempt = Annotated[int, Field(ge=1, description="Counts from one in each round of attempts.")]
Url = Annotated[str, Field(description="Where the audio can be fetched.")]
Bytes = Annotated[int, Field(ge=0, description="Size of the audio.")]
Seconds = Annotated[float, Field(ge=0)]
ErrorText = Annotated[str, Field(description="Why the last attempt failed, for people.")]
ErrorCode = Annotated[str, Field(description="Why it failed, for machines.")]
ErrorStep = Annotated[str, Field(description="The step at which it failed.")]


class Accepted(BaseModel):
    """The task is on record and will be worked on."""

    task_id: TaskId = Field(alias="taskId")
    message: str
    status: Literal["started"]
    position: Position


class Spoken(BaseModel):
    """The audio is there: the answer to a request that waited."""

    task_id: TaskId = Field(alias="taskId")
    audio_url: Url
    status: Literal["succeeded"]


class RetryAccepted(BaseModel):
    """The task gets another round of attempts."""

    task_id: TaskId = Field(alias="taskId")
    message: str
    position: Position


class CancelAccepted(BaseModel):
    """The task will end; ``status`` is ``canceled`` if it has ended already."""

    task_id: TaskId = Field(alias="taskId")
    message: str
    status: Status
    position: Position


class WebhookTaken(BaseModel):
    """The webhook is genuine and need not be sent again."""

    heeded: bool = Field(description="Whether who waits for the prediction was told to look.")


class Erasure(BaseModel):
    """Text and audio are gone."""

    task_id: TaskId = Field(alias="taskId")
    message: str
    status: Status = Field(description="How the task ended, which stays.")
    erased_at: datetime = Field(alias="erasedAt")
    position: Position


class TaskAnswer(BaseModel):
    """One task as the log has it."""

    task_id: TaskId = Field(alias="taskId")
    status: Status
    template_id: str = Field(alias="templateId")
    tts_text: str | None = Field(alias="ttsText", description="Null once it is erased.")
    instruction: str | None
    audio_url: Url | None = Field(alias="audioUrl", description="Set when the task succeeded.")
    created_at: datetime = Field(alias="createdAt")
    updated_at: datetime = Field(alias="updatedAt")
    completed_at: datetime | None = Field(alias="completedAt")
    attempt: Attempt
    max_attempts: int = Field(alias="maxAttempts")
    priority: Priority
    position: Position
    error: ErrorText = ""
    code: ErrorCode = ""
    step: ErrorStep = ""
    retry_at: datetime | None = Field(
        default=None, alias="retryAt", description="When the next attempt starts."
    )
    bytes: Bytes = 0
    duration: Seconds | None = Field(default=None, description="Length of the audio in seconds.")
    segments: int = Field(
        default=1, ge=1, description="How many predictions speak the text; left out if it is one."
    )
    segments_done: int = Field(default=0, ge=0, alias="segmentsDone")
    partial_audio_urls: list[Url] = Field(
        default=[],
        alias="partialAudioUrls",
        description="The audio of the first segments, in order and without a gap, while the whole "
        "is being spoken. Each can be played by itself; they are kept for a day.",
    )
    dismissed_at: datetime | None = Field(
        default=None, alias="dismissedAt", description="When its failure was seen and let be."
    )
    erased_at: datetime | None = Field(default=None, alias="erasedAt")


class TaskRow(BaseModel):
    """One task in a list."""

    task_id: TaskId = Field(alias="taskId")
    status: Status
    template_id: str = Field(alias="templateId")
    attempt: Attempt
    error: ErrorText | None
    code: ErrorCode | None
    step: ErrorStep | None
    audio_url: Url | None = Field(alias="audioUrl")
    bytes: Bytes | None
    duration: Seconds | None = Field(description="Length of the audio in seconds.")
    created_at: datetime = Field(alias="createdAt")
    updated_at: datetime = Field(alias="updatedAt")
    completed_at: datetime | None = Field(alias="completedAt")
    retry_at: datetime | None = Field(alias="retryAt")
    position: Position


class TaskList(BaseModel):
    """One page of tasks, newest first."""

    tasks: list[TaskRow]
    next_cursor: str | None = Field(
        alias="nextCursor", description="The `cursor` of the next page; null on the last one."
    )
    position: Position


class TaskUpdate(BaseModel):
    """One event of a task. Fields that do not belong to its status are left out."""

    task_id: TaskId = Field(alias="taskId")
    status: Status
    timestamp: datetime
    position: Position
    template_id: str = Field(default="", alias="templateId")
    attempt: Attempt = 1
    worker: str = Field(default="", description="The processor that took the task.")
    segment: int = Field(default=0, ge=0, description="The part of the text, from 0 on.")
    segments: int = Field(default=1, ge=1, description="How many parts the text has.")
    partial_audio_url: Url = Field(
        default="",
        alias="partialAudioUrl",
        description="The audio of this part of a long text, which can be played by itself.",
    )
    suspect_truncation: bool = Field(
        default=False,
        alias="suspectTruncation",
        description="The audio is too short for the text, although it was spoken twice.",
    )
    suspect_segments: list[int] = Field(
        default=[], alias="suspectSegments", description="The parts that may be cut short."
    )
    prediction_id: str = Field(default="", alias="predictionId")
    predict_time: Seconds = Field(default=0, alias="predictTime")
    bytes: Bytes = 0
    duration: Seconds = Field(default=0, description="Length of the audio in seconds.")
    audio_url: Url = Field(default="", alias="audioUrl")
    error: ErrorText = ""
    code: ErrorCode = ""
    step: ErrorStep = ""
    permanent: bool = Field(default=False, description="Whether no repetition can help.")
    delay: Seconds = Field(default=0, description="Seconds until the next attempt.")
    retry_at: datetime | None = Field(default=None, alias="retryAt")
    by: str = Field(default="", description="Who asked for it.")
    reason: str = ""
    dismissed: bool = Field(
        default=False, description="The failure was seen and let be: it is no dead letter any more."
    )
    erased: bool = Field(default=False, description="Text and audio are gone from here on.")


class TimelineEvent(TaskUpdate):
    """One event of a task, as streams have it, and how long its status lasted."""

    lasted: float | None = Field(description="Seconds until the next event; null for the newest.")


class Timeline(BaseModel):
    """Everything that happened to a task, in order."""

    task_id: TaskId = Field(alias="taskId")
    status: Status
    position: Position
    events: list[TimelineEvent]


class DeadLetter(BaseModel):
    """One task that has failed."""

    task_id: TaskId = Field(alias="taskId")
    status: Literal["failed"]
    owner: str = Field(description="Whose task it is; empty where no keys are configured.")
    template_id: str = Field(alias="templateId")
    code: ErrorCode
    step: ErrorStep
    error: ErrorText
    permanent: bool = Field(description="Whether no repetition can help.")
    attempts: int = Field(ge=0, description="Attempts in the last round.")
    max_attempts: int = Field(alias="maxAttempts")
    predictions: int = Field(
        ge=0, description="Predictions that were paid for, or may have been, over all rounds."
    )
    text_length: int = Field(alias="textLength", description="Characters.")
    created_at: datetime = Field(alias="createdAt")
    failed_at: datetime = Field(alias="failedAt")
    position: Position


class DeadLetterList(BaseModel):
    """One page of dead letters, those that failed last first."""

    dead_letters: list[DeadLetter] = Field(alias="deadLetters")
    counts: dict[str, int] = Field(description="How many match, by error code; most first.")
    total: int = Field(ge=0, description="How many match.")
    next_cursor: str | None = Field(
        alias="nextCursor", description="The `cursor` of the next page; null on the last one."
    )


class PredictionMade(BaseModel):
    """A prediction that Replicate made for the task."""

    prediction_id: str = Field(alias="predictionId")
    segment: int = Field(ge=0, description="The part of the text, from 0 on.")
    attempt: Attempt
    model_version: str = Field(alias="modelVersion")
    created_at: datetime = Field(alias="createdAt")
    predict_time: Seconds | None = Field(
        alias="predictTime", description="Seconds that are billed; null if it did not succeed."
    )


class DeadLetterDetails(DeadLetter):
    """A failed task with all that is known of it."""

    tts_text: str | None = Field(alias="ttsText", description="Null once it is erased.")
    instruction: str | None
    dismissed_at: datetime | None = Field(alias="dismissedAt")
    erased_at: datetime | None = Field(alias="erasedAt")
    predictions_made: list[PredictionMade] = Field(alias="predictionsMade")
    events: list[TimelineEvent] = Field(description="The timeline.")


class Skipped(BaseModel):
    """A task that was left as it is, and why."""

    task_id: TaskId = Field(alias="taskId")
    code: Literal["task_not_found", "task_not_failed", "task_erased", "changed"]
    error: str = Field(description="The same for people.")


class BulkAnswer(BaseModel):
    """What one request has done, and where the next one goes on."""

    matched: int = Field(ge=0, description="How many matched, from the cursor on.")
    task_ids: list[str] = Field(alias="taskIds", description="Those that it was done to.")
    skipped: int = Field(ge=0, description="How many were left as they are.")
    reasons: list[Skipped]
    remaining: int = Field(ge=0, description="How many have not been looked at yet.")
    next: str | None = Field(
        description="Send the same request with this `cursor` to go on; null at the end."
    )
    dry_run: bool = Field(alias="dryRun", description="Whether nothing was changed.")


class Redriven(BulkAnswer):
    """How many tasks got another round of attempts; each is on disk as an event."""

    redriven: int = Field(ge=0)


class DismissedAnswer(BulkAnswer):
    """How many tasks are no dead letters any more; each is on disk as an event."""

    dismissed: int = Field(ge=0)


class Health(BaseModel):
    """Each part that the gateway needs: ``ok``, or what is wrong with it."""

    status: Literal["ok", "unhealthy"]
    parts: dict[str, str]


class Deployment(BaseModel):
    """What the service stands on."""

    kind: Literal["embedded", "distributed"]
    store: Literal["sqlite", "postgresql"]
    queue: Literal["memory", "rabbitmq"]
    audio: Literal["folder", "s3"]


class GateReason(BaseModel):
    """What shut the gate."""

    code: ErrorCode
    message: ErrorText


class GateLimits(BaseModel):
    """What the operator allows; null is no limit."""

    creates_per_minute: int | None = Field(alias="createsPerMinute")
    in_flight: int | None = Field(alias="inFlight")


class Gate(BaseModel):
    """The gate before Replicate, which all processors of the account share."""

    state: Literal["closed", "open", "half-open"] = Field(
        description="Of its circuit breaker: `closed` lets creations through, `open` holds them "
        "back, `half-open` tries one."
    )
    reason: GateReason | None
    since: datetime | None
    until: datetime | None = Field(description="When a creation is tried again.")
    failures: int = Field(ge=0, description="Failed creations in a row.")
    creates_per_minute: float | None = Field(
        alias="createsPerMinute",
        description="What is allowed now: after a 429 less than the limit.",
    )
    in_flight: int = Field(alias="inFlight", ge=0)
    waiting: int = Field(ge=0, description="Creations of this process that wait.")
    limits: GateLimits


class System(BaseModel):
    """What runs here."""

    version: str
    python: str
    uptime_seconds: Seconds = Field(alias="uptimeSeconds")
    deployment: Deployment
    position: Position
    streams: int = Field(ge=0, description="Open streams of this gateway.")
    gate: Gate


class Stats(BaseModel):
    """How many tasks there are in each status, whoever owns them."""

    tasks: dict[Status, int]


class StreamToken(BaseModel):
    """Lets a browser open ``/events`` or ``/ws``, which cannot carry an Authorization header."""

    token: str
    expires_at: datetime = Field(alias="expiresAt")


class Refusal(BaseModel):
    """Why a request was not served."""

    success: Literal[False]
    error: str = Field(description="A sentence for people; it names the field, if one is wrong.")
    code: str = Field(description="What is wrong, for machines.")
    task_id: str = Field(default="", alias="taskId", description="The task that it is about.")


class Unhealthy(Refusal):
    """Which part does not answer."""

    data: Health
