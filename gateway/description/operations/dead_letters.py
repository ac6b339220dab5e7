"""What could not be spoken."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import (
    BODY_ERRORS,
    TASK_ERRORS,
    TASK_ID,
    Answer,
    Operation,
)
from gateway.models import DeadLetterQuery, DismissRequest, RedriveRequest
from tts import wire

BULK = (
    "A request works for some seconds and then says how many are `remaining`: send it again with "
    "`next` as the `cursor` until that is null. Nothing of it is kept in the service, so whatever "
    "breaks, asking again finishes it. A task that has changed meanwhile is skipped, and one that "
    "fails anew is not taken up twice."
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/api/dead-letters"): Operation(
        id="listDeadLetters",
        tag="Dead letters",
        summary="List what could not be spoken",
        description=(
            "Tasks that have failed for good, until they are retried, dismissed or erased. Those "
            "that failed last come first; `counts` has all that match, by error code."
        ),
        query=DeadLetterQuery,
        answers={200: Answer("One page", wire.DeadLetterList)},
        errors=("invalid_request", "invalid_cursor", "forbidden", "read_model_behind"),
        path_example="/api/dead-letters?code=template_not_found",
    ),
    ("GET", "/api/dead-letters/{taskId}"): Operation(
        id="getDeadLetter",
        tag="Dead letters",
        summary="Inspect a failed task",
        description="Its error, its timeline and the predictions made; also once it is dismissed.",
        parameters=(TASK_ID,),
        answers={200: Answer("The task", wire.DeadLetterDetails)},
        errors=(*TASK_ERRORS, "not_a_dead_letter"),
    ),
    ("POST", "/api/dead-letters/redrive"): Operation(
        id="redriveDeadLetters",
        tag="Dead letters",
        summary="Retry failed tasks in bulk",
        description=(
            "Gives the tasks named, or all that the filter selects, another round of attempts. "
            "What was paid for and is still there is used again. Each is an event that says who "
            "and why.\n\n" + BULK
        ),
        body=RedriveRequest,
        example={"filter": {"code": "replicate_unavailable"}, "reason": "Replicate is back"},
        answers={200: Answer("What was done", wire.Redriven)},
        errors=(*BODY_ERRORS, *TASK_ERRORS, "invalid_cursor", "too_many_tasks"),
    ),
    ("POST", "/api/dead-letters/dismiss"): Operation(
        id="dismissDeadLetters",
        tag="Dead letters",
        summary="Let failed tasks be",
        description=(
            "They stay failed, and can still be retried by name; but they are no dead letters any "
            "more.\n\n" + BULK
        ),
        body=DismissRequest,
        example={"filter": {"code": "invalid_input"}, "reason": "the model refuses these texts"},
        answers={200: Answer("What was done", wire.DismissedAnswer)},
        errors=(*BODY_ERRORS, *TASK_ERRORS, "invalid_cursor"),
    ),
}
