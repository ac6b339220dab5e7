"""The answers to commands: what was accepted, and what was done."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import Position, StatusName, Suspects, TaskId, Time, Url


class Accepted(TypedDict):
    """The task is on record and will be worked on."""

    taskId: TaskId
    message: str
    status: Literal["started"]
    position: Position


class Spoken(TypedDict):
    """The audio is there: the answer to a request that waited."""

    taskId: TaskId
    audio_url: Url
    status: Literal["succeeded"]
    suspectSegments: NotRequired[Suspects]


class RetryAccepted(TypedDict):
    """The task gets another round of attempts."""

    taskId: TaskId
    message: str
    position: Position


class CancelAccepted(TypedDict):
    """The task will end; ``status`` is ``canceled`` if it has ended already."""

    taskId: TaskId
    message: str
    status: StatusName
    position: Position


class Erasure(TypedDict):
    """Text and audio are gone."""

    taskId: TaskId
    message: str
    status: Annotated[StatusName, Field(description="How the task ended, which stays.")]
    erasedAt: Time
    position: Position


class StreamToken(TypedDict):
    """Lets a browser open ``/events`` or ``/ws``, which cannot carry an Authorization header."""

    token: str
    expiresAt: Time


class WebhookTaken(TypedDict):
    """The webhook is genuine and need not be sent again."""

    heeded: Annotated[
        bool, Field(description="Whether who waits for the prediction was told to look.")
    ]
