"""The streams; the prose has their protocols."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.access.tokens import TokenRequest
from gateway.description.operation import (
    BODY_ERRORS,
    NO_TASK,
    TASK_ID,
    Answer,
    Operation,
    header,
    query,
)
from gateway.description.prose import SSE, TOKENS, WEBSOCKET
from tts import wire

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/events"): Operation(
        id="followTasks",
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
        answers={200: Answer("The stream", content_types=("text/event-stream",))},
        errors=("invalid_request", *NO_TASK, "too_many_streams", "no_room"),
        curl="curl -N",
        path_example="/events?from=start",
    ),
    ("GET", "/ws"): Operation(
        id="openSocket",
        tag="Streams",
        summary="Follow and command tasks over a WebSocket",
        description=WEBSOCKET,
        answers={101: Answer("The WebSocket", None, ())},
        errors=("websocket_expected", "too_many_streams", "no_room"),
        curl="npx wscat -c",
        scheme="ws",
    ),
    ("POST", "/api/stream-token"): Operation(
        id="createStreamToken",
        tag="Streams",
        summary="A short-lived token for streams and audio in browsers",
        description=TOKENS,
        answers={200: Answer("The token", wire.StreamToken)},
        errors=(*BODY_ERRORS, "forbidden"),
        body=TokenRequest,
        body_is_optional=True,
        example={"scope": "stream"},
        curl="curl -s -X POST",
    ),
}
