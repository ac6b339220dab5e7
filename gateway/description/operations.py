"""Every operation of the API, described for those who use it; one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gateway.description.prose import SSE, WEBSOCKET
from gateway.models import (
    CancelRequest,
    DeadLetterQuery,
    DismissRequest,
    PredictionNews,
    RedriveRequest,
    RetryRequest,
    SpeechRequest,
    TaskFilter,
    TimeTravel,
)
from gateway.static_files import FILES
from tts import wire

JSON = "application/json"
BODY_ERRORS = ("invalid_json", "invalid_request", "unsupported_media_type", "body_too_large")
TASK_ERRORS = ("task_not_found",)

TASK_ID: Mapping[str, Any] = {
    "name": "taskId",
    "in": "path",
    "required": True,
    "description": "The task's id, as `POST /api/tts` answered it.",
    "schema": {"type": "string"},
    "example": "0198c0de-0000-7000-8000-000000000000",
}


@dataclass(frozen=True)
class Answer:
    """What one status below 400 means; ``model`` is the type in the envelope if there is one.

    ``leads_to`` are the operations, by method and path, that take the ``taskId`` of the answer.
    """

    description: str
    model: type[Any] | None = None
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    leads_to: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    ``errors`` are codes, and ``outcomes`` statuses whose codes are those that a task can fail with.
    ``curl`` comes before the URL, and ``path_example`` is the path that it is tried with.
    """

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    errors: tuple[str, ...] = ()
    outcomes: Mapping[int, str] = field(default_factory=dict)
    parameters: tuple[Mapping[str, Any], ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    curl: str = "curl -s"
    scheme: str = "http"
    path_example: str = ""


def header(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    """An optional header of a request."""
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"} | schema,
        "example": example,
    }


def query(name: str, description: str, example: str) -> dict[str, Any]:
    """An optional field of a query that no model has."""
    return header(name, description, example) | {"in": "query"}


AUDIO_HEADERS = {
    "ETag": "Names this content.",
    "Accept-Ranges": "`bytes`.",
    "Cache-Control": "A finished file never changes.",
}

BULK = (
    "A request works for some seconds and then says how many are `remaining`: send it again with "
    "`next` as the `cursor` until that is null. Nothing of it is kept in the service, so whatever "
    "breaks, asking again finishes it. A task that has changed meanwhile is skipped, and one that "
    "fails anew is not taken up twice."
)

OF_A_TASK = {
    "task": ("GET", "/api/tts/task/{taskId}"),
    "timeline": ("GET", "/api/tts/task/{taskId}/events"),
}

SUMMARIES = {"/client": "The client for JavaScript"}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/api/tts"): Operation(
        tag="Speech",
        summary="Have a text spoken",
        description=(
            "Accepts the text and answers 202 at once; the task is on disk by then. Follow it on "
            "`/events?taskId=…`, or ask for it with `GET /api/tts/task/{taskId}`.\n\n"
            "With `Prefer: wait=N` the answer waits up to N seconds (the service has a cap) for "
            "the audio: 200 with `audio_url` if it is there by then, else 202 as without. A task "
            "that fails meanwhile is answered 424, or 422 if the same request can never succeed; "
            "`code` then says why, and `taskId` is the task's."
        ),
        body=SpeechRequest,
        example={
            "templateId": "template1",
            "tts_text": "你好，欢迎使用语音合成服务。",
            "instruction": "开心地",
        },
        parameters=(
            header(
                "Idempotency-Key",
                "Makes the request safe to repeat: the same key with the same body answers with "
                "the same task; with another body it is refused (422, `idempotency_key_reused`). "
                "`priority` is not compared: the first one stays.",
                "order-4711",
                pattern=r"^[!-~]{1,255}$",
            ),
            header("Prefer", "`wait=N`: wait up to N seconds for the audio.", "wait=30"),
        ),
        answers={
            202: Answer("Accepted", wire.Accepted, leads_to=OF_A_TASK),
            200: Answer("Spoken while the request waited", wire.Spoken),
        },
        errors=(
            *BODY_ERRORS,
            "nothing_to_speak",
            "idempotency_key_reused",
            "task_erased",
            "conflict",
            "queue_full",
        ),
        outcomes={
            422: "The task failed, and the same request can never succeed; `code` is the task's.",
            424: "The task failed although it was tried again; `code` is the task's.",
        },
    ),
    ("POST", "/api/tts/retry"): Operation(
        tag="Speech",
        summary="Retry a failed task",
        description=(
            "Gives a task that has failed for good another round of attempts. `templateId` and "
            "`tts_text` may be left out; if they are there, they must be the task's own."
        ),
        body=RetryRequest,
        example={"taskId": TASK_ID["example"]},
        answers={202: Answer("The task is retried", wire.RetryAccepted)},
        errors=(
            *BODY_ERRORS,
            *TASK_ERRORS,
            "task_mismatch",
            "task_not_failed",
            "task_erased",
            "conflict",
        ),
    ),
    ("POST", "/api/tts/cancel"): Operation(
        tag="Speech",
        summary="Cancel a task",
        description=(
            "A task that nothing runs for ends at once (`canceled`); for one that is being spoken "
            "the prediction is stopped first (`canceling`, then `canceled`). Asking again while "
            "it is being canceled is fine."
        ),
        body=CancelRequest,
        example={"taskId": TASK_ID["example"]},
        answers={202: Answer("The task will end", wire.CancelAccepted)},
        errors=(*BODY_ERRORS, *TASK_ERRORS, "task_is_over", "conflict"),
    ),
    ("GET", "/api/tts/tasks"): Operation(
        tag="Tasks",
        summary="List tasks",
        description=(
            "Newest first. The list follows the log within moments; `position` says how far it "
            "has come, and a stream with `from=<position>` misses nothing after it."
        ),
        query=TaskFilter,
        answers={200: Answer("One page", wire.TaskList)},
        errors=("invalid_request", "invalid_cursor"),
        path_example="/api/tts/tasks?status=failed&limit=10",
    ),
    ("GET", "/api/tts/task/{taskId}"): Operation(
        tag="Tasks",
        summary="Look at a task",
        description=(
            "With `asOf` the task as it was when the log stood at that position. What was erased "
            "since then stays gone: the text is null, and the audio's URL answers 404."
        ),
        parameters=(TASK_ID,),
        query=TimeTravel,
        answers={200: Answer("The task", wire.TaskAnswer)},
        errors=("invalid_request", *TASK_ERRORS),
    ),
    ("DELETE", "/api/tts/task/{taskId}"): Operation(
        tag="Tasks",
        summary="Erase what was said and spoken",
        description=(
            "Removes text, instruction and audio for good; statuses and times stay. Refused while "
            "the task runs: cancel it first. Asking again is fine. An erased task cannot be "
            "retried."
        ),
        parameters=(TASK_ID,),
        answers={200: Answer("Gone", wire.Erasure)},
        errors=(*TASK_ERRORS, "task_not_over", "conflict"),
        curl="curl -s -X DELETE",
    ),
    ("GET", "/api/tts/task/{taskId}/events"): Operation(
        tag="Tasks",
        summary="The timeline of a task",
        description=(
            "Every event of the task as streams show it, with the seconds that its status "
            "`lasted`; with `asOf`, those up to that position."
        ),
        parameters=(TASK_ID,),
        query=TimeTravel,
        answers={200: Answer("The timeline", wire.Timeline)},
        errors=("invalid_request", *TASK_ERRORS),
    ),
    ("GET", "/api/dead-letters"): Operation(
        tag="Dead letters",
        summary="List what could not be spoken",
        description=(
            "Tasks that have failed for good, until they are retried, dismissed or erased. Those "
            "that failed last come first; `counts` has all that match, by error code."
        ),
        query=DeadLetterQuery,
        answers={200: Answer("One page", wire.DeadLetterList)},
        errors=("invalid_request", "invalid_cursor", "forbidden"),
        path_example="/api/dead-letters?code=template_not_found",
    ),
    ("GET", "/api/dead-letters/{taskId}"): Operation(
        tag="Dead letters",
        summary="Inspect a failed task",
        description="Its error, its timeline and the predictions made; also once it is dismissed.",
        parameters=(TASK_ID,),
        answers={200: Answer("The task", wire.DeadLetterDetails)},
        errors=(*TASK_ERRORS, "not_a_dead_letter"),
    ),
    ("POST", "/api/dead-letters/redrive"): Operation(
        tag="Dead letters",
        summary="Retry failed tasks in bulk",
        description=(
            "Gives the tasks named, or all that the filter selects, another round of attempts. "
            "What was paid for and is still there is used again. Each is an event that says who "
            "and why.\n\n" + BULK
        ),
        body=RedriveRequest,
        example={"filter": {"code": "network"}, "reason": "the provider is back"},
        answers={200: Answer("What was done", wire.Redriven)},
        errors=(*BODY_ERRORS, *TASK_ERRORS, "invalid_cursor"),
    ),
    ("POST", "/api/dead-letters/dismiss"): Operation(
        tag="Dead letters",
        summary="Let failed tasks be",
        description=(
            "They stay failed, and can still be retried by name; but they are no dead letters any "
            "more.\n\n" + BULK
        ),
        body=DismissRequest,
        example={"filter": {"code": "nsfw"}, "reason": "refused for good"},
        answers={200: Answer("What was done", wire.DismissedAnswer)},
        errors=(*BODY_ERRORS, *TASK_ERRORS, "invalid_cursor"),
    ),
    ("GET", "/events"): Operation(
        tag="Streams",
        summary="Follow tasks live (server-sent events)",
        description=SSE,
        parameters=(
            query(
                "taskId",
                "Only these tasks, from their beginning: several separated by commas, or the "
                "field several times; at most 100. Without it: everything that you may see.",
                TASK_ID["example"],
            ),
            query(
                "from",
                "Where to begin: `now` (the default without `taskId`), `start` (with it), or "
                "after a position.",
                "start",
            ),
            query("lastEventId", "As `Last-Event-ID`, for clients that cannot set headers.", "42"),
            header("Last-Event-ID", "Go on after the update with this `id`.", "42"),
        ),
        answers={200: Answer("The stream", content_type="text/event-stream")},
        errors=("invalid_request", *TASK_ERRORS, "too_many_streams"),
        curl="curl -N",
        path_example="/events?from=start",
    ),
    ("GET", "/ws"): Operation(
        tag="Streams",
        summary="Follow and command tasks over a WebSocket",
        description=WEBSOCKET,
        answers={101: Answer("The WebSocket", None, None)},
        errors=("websocket_expected", "too_many_streams"),
        curl="npx wscat -c",
        scheme="ws",
    ),
    ("POST", "/api/stream-token"): Operation(
        tag="Streams",
        summary="A short-lived token for streams in browsers",
        description=(
            "`EventSource` and `WebSocket` cannot send an `Authorization` header: they open "
            "`/events?token=…` and `/ws?token=…` instead, and audio players `/audio/…?token=…`."
        ),
        answers={200: Answer("The token", wire.StreamToken)},
        curl="curl -s -X POST",
    ),
    ("GET", "/audio/{key}"): Operation(
        tag="Tasks",
        summary="Finished audio",
        description="Where `audioUrl` points to, unless a bucket keeps the audio.",
        parameters=(
            {
                "name": "key",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "example": f"audio-{TASK_ID['example']}.wav",
            },
            header("Range", "A part of the file, such as `bytes=0-1023`.", "bytes=0-1023"),
            header("If-Range", "Send the part only if the file still has this ETag.", '"17-2a"'),
            header("If-None-Match", "Answer 304 if the file has this ETag.", '"17-2a"'),
        ),
        answers={
            200: Answer("The file", None, "audio/wav", AUDIO_HEADERS),
            206: Answer(
                "A part of it", None, "audio/wav", AUDIO_HEADERS | {"Content-Range": "Which part."}
            ),
            304: Answer("The client has it", None, None, AUDIO_HEADERS),
        },
        errors=("not_found", "range_not_satisfiable"),
        curl="curl -s -O",
    ),
    ("GET", "/health"): Operation(
        tag="Operation",
        summary="Whether every needed part answers",
        description=(
            "Readiness. A gateway on its own needs the event store and nothing else: it accepts "
            "and streams while RabbitMQ or the audio store is away, because what it accepted is in "
            "the log, and is spoken when they are back. `tts up` is relay, processor and projector "
            "as well, and needs what they need. Run on their own, these serve the same on "
            "`METRICS_PORT`."
        ),
        answers={200: Answer("All is well", wire.Health)},
        errors=("unhealthy",),
    ),
    ("GET", "/api/stats"): Operation(
        tag="Operation",
        summary="Tasks by status",
        answers={200: Answer("The counts", wire.Stats)},
    ),
    ("GET", "/system"): Operation(
        tag="Operation",
        summary="What runs here",
        answers={200: Answer("Version, deployment, position", wire.System)},
    ),
    ("GET", "/metrics"): Operation(
        tag="Operation",
        summary="Metrics for Prometheus",
        answers={200: Answer("The metrics", None, "text/plain")},
    ),
    ("POST", "/webhooks/replicate"): Operation(
        tag="Operation",
        summary="Replicate tells that a prediction is over",
        description=(
            "For Replicate alone: the signature takes the place of a key. Nothing is believed but "
            "which prediction to look at. Without a `PUBLIC_URL` that Replicate can reach, "
            "webhooks are off and this answers 404."
        ),
        body=PredictionNews,
        example={"id": "ufawqhfynnddngldkgtslldrkq", "status": "succeeded"},
        parameters=(
            header("webhook-id", "Names the webhook.", "msg_2b4gVb6wqQ", minLength=1),
            header(
                "webhook-timestamp",
                "When it was sent, in seconds since 1970; at most five minutes away from now.",
                "1735689600",
                pattern="^[0-9]{1,12}$",
            ),
            header(
                "webhook-signature",
                "One or several, separated by spaces: `v1,` and the base64 of the HMAC-SHA256 of "
                "`{webhook-id}.{webhook-timestamp}.{body}`.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        ),
        answers={200: Answer("Taken", wire.WebhookTaken)},
        errors=("invalid_json", "invalid_request", "body_too_large", "bad_signature", "not_found"),
    ),
    ("GET", "/openapi.json"): Operation(
        tag="Pages",
        summary="This document",
        answers={200: Answer("OpenAPI 3.1", None, JSON)},
    ),
    ("GET", "/docs"): Operation(
        tag="Pages",
        summary="This document, to be read",
        answers={200: Answer("A page", None, "text/html")},
    ),
    ("GET", "/"): Operation(
        tag="Pages",
        summary="The dashboard",
        answers={
            200: Answer("A page", None, "text/html", {"ETag": "Names this content."}),
            304: Answer("The client has it", None, None),
        },
        parameters=(header("If-None-Match", "Answer 304 if the file has this ETag.", '"17-2a"'),),
    ),
} | {
    ("GET", path): Operation(
        tag="Pages",
        summary=SUMMARIES.get(path.rpartition("/")[0], "A file of the pages"),
        answers={
            200: Answer("The file", None, kind.partition(";")[0], {"ETag": "Names this content."}),
            304: Answer("The client has it", None, None),
        },
        parameters=(header("If-None-Match", "Answer 304 if the file has this ETag.", '"17-2a"'),),
    )
    for path, kind in FILES.items()
}
