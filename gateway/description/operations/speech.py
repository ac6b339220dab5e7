"""Commands: speak a text, retry, cancel."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import (
    BODY_ERRORS,
    TASK_ERRORS,
    TASK_ID,
    Answer,
    Operation,
    header,
)
from gateway.models import CancelRequest, RetryRequest, SpeechRequest
from tts import wire

OF_A_TASK = {
    "task": ("GET", "/api/tts/task/{taskId}"),
    "timeline": ("GET", "/api/tts/task/{taskId}/events"),
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/api/tts"): Operation(
        id="createSpeech",
        tag="Speech",
        summary="Have a text spoken",
        description=(
            "Accepts the text and answers 202 at once; the task is on disk by then. Follow it on "
            "`/events?taskId=…`, or ask for it with `GET /api/tts/task/{taskId}`.\n\n"
            "With `Prefer: wait=N` the answer waits up to N seconds (the service has a cap) for "
            "the audio: 200 with `audio_url` if it is there by then, else 202 as without. A task "
            "that fails meanwhile is answered 424, or 422 if the same request can never succeed; "
            "`code` then says why, and `taskId` is the task's.\n\n"
            "The answer does not say how long the text will wait. Only the relay knows the order, "
            "and it tells of it every other second: texts that come together would all be told "
            "the same place. `GET /api/tts/task/{taskId}` says it: `queuePosition` and "
            "`estimatedWaitMs`."
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
                "`priority` and `callback_url` are not compared: the first ones stay. Nor is the "
                "format if no `format` was named either time.",
                "order-4711",
                pattern=r"^[!-~]{1,255}$",
            ),
            header("Prefer", "`wait=N`: wait up to N seconds for the audio.", "wait=30"),
            header(
                "traceparent",
                "Where the service is traced: the span (W3C Trace Context) that the task's spans "
                "are to stand under. What names none that is recorded is left aside.",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
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
            "too_many_tasks",
            "characters_exhausted",
            "queue_full",
        ),
        outcomes={
            422: "The task failed, and the same request can never succeed; `code` is the task's.",
            424: "The task failed although it was tried again; `code` is the task's.",
        },
    ),
    ("POST", "/api/tts/retry"): Operation(
        id="retryTask",
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
            "too_many_tasks",
        ),
    ),
    ("POST", "/api/tts/cancel"): Operation(
        id="cancelTask",
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
}
