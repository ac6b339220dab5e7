"""What callbacks tell, and what a task tells of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.ports.callbacks import Callback, CallbackState
from tts.wire.fields import Time
from tts.wire.updates import TaskUpdate


class TaskEnd(TypedDict):
    """The body of a callback: a task is over."""

    type: Annotated[str, Field(description="`task.succeeded`, `task.failed` or `task.canceled`.")]
    timestamp: Annotated[Time, Field(description="When the task ended.")]
    data: TaskUpdate


class CallbackSecret(TypedDict):
    """What an owner's callbacks are signed with."""

    secret: Annotated[
        str, Field(description="As libraries of Standard Webhooks take it: `whsec_…`.")
    ]


class CallbackFields(TypedDict):
    """What a task tells of its callback, if its request had a ``callback_url``."""

    callbackUrl: NotRequired[Annotated[str, Field(description="Whom to tell of the task's end.")]]
    callbackState: NotRequired[
        Annotated[
            Literal["waiting", "pending", "delivered", "failed"],
            Field(
                description="`waiting` for the end of the task, `pending` until the other side "
                "has taken it, `delivered`, or `failed`: nobody tries any more."
            ),
        ]
    ]
    callbackAttempts: NotRequired[Annotated[int, Field(ge=0)]]
    callbackProblem: NotRequired[Annotated[str, Field(description="Why its last attempt failed.")]]
    callbackAt: NotRequired[Annotated[Time, Field(description="When its next attempt is made.")]]


def callback_fields(url: str, callback: Callback | None) -> CallbackFields:
    """What a task tells of its callback; None before the task is over."""
    if callback is None:
        return {"callbackUrl": url, "callbackState": "waiting", "callbackAttempts": 0}
    fields: CallbackFields = {
        "callbackUrl": url,
        "callbackState": callback.state.value,
        "callbackAttempts": callback.attempts,
    }
    if callback.problem is not None:
        fields["callbackProblem"] = callback.problem
    if callback.state is CallbackState.PENDING and callback.due is not None:
        fields["callbackAt"] = datetime.fromtimestamp(callback.due, UTC).isoformat()
    return fields
