"""What the service itself sends, as OpenAPI's ``webhooks``."""

from __future__ import annotations

from gateway.description.examples import answered
from gateway.description.operation import JSON
from gateway.description.schemas import Json, reference
from tts import wire

TASK_ENDED = """\
Sent to the `callback_url` of a request when its task succeeds, fails for good or is canceled; also
after a retry of a failed one. `data` is the update that streams have for it.

Delivered at least once: any 2xx within 15 s takes it; 410 says never again. Anything else is tried
again for a day, after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h and then every 4 h; `Retry-After`
(up to an hour) is heeded, and redirects are not followed. Every attempt has the same `webhook-id`:
let go of one that you have seen. Check `webhook-signature` with the secret of
`GET /api/webhooks/secret`. `GET /api/tts/task/{taskId}` shows in `callbackState` how far it has
come. Erasing the task ends it."""


def webhooks() -> Json:
    """The section, by the name of each webhook."""
    *_, end = answered("getTimeline", 200)["events"]
    update = {name: value for name, value in end.items() if name != "lasted"}
    example = {
        "type": f"task.{end['status']}",
        "timestamp": end["timestamp"],
        "data": update,
    }
    names = {
        "webhook-id": "The same at every attempt.",
        "webhook-timestamp": "When it was sent, in seconds since 1970.",
        "webhook-signature": "By Standard Webhooks: `v1,` and a base64 HMAC-SHA256.",
    }
    return {
        "taskEnded": {
            "post": {
                "tags": ["Speech"],
                "summary": "A task is over",
                "operationId": "taskEnded",
                "description": TASK_ENDED,
                "parameters": [
                    {
                        "name": name,
                        "in": "header",
                        "required": True,
                        "description": meaning,
                        "schema": {"type": "string"},
                    }
                    for name, meaning in names.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": reference(wire.TaskEnd), "example": example}},
                },
                "responses": {"2XX": {"description": "Taken"}},
                "security": [],
            }
        }
    }
