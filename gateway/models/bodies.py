"""What clients send in bodies, as models: the validation and the published schema."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from gateway.models.fields import (
    PERMANENT,
    Instant,
    Name,
    Published,
    Said,
    Speakable,
    TemplateId,
    Text,
    Word,
    no_controls,
)
from tts.application.dead_letters import REASON_MAX_CHARS
from tts.config import Settings
from tts.domain.values import AudioFormat, Priority
from tts.http.callbacks import CallbackReach
from tts.http.errors import OutOfReach
from tts.observability.visible import CONTROLS

NAMED_MAX = 1000  # tasks named in one request
URL_MAX_CHARS = 2000
PUBLIC_URL = r"^https://([A-Za-z0-9-]+\.)+[A-Za-z]{2,}(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?([/?](%[0-9A-Fa-f]{2}|[!$&-;=?-Z_a-z~])*)?$"
LISTED_URL = r"^https?://[!-~]+$"


class Body(BaseModel):
    """Base of the bodies: strict types, unknown fields ignored as the original did."""

    model_config = ConfigDict(strict=True, frozen=True, populate_by_name=False)


class SpeechRequest(Body):
    """A text and the voice to speak it in."""

    template_id: TemplateId = Field(alias="templateId", description="The reference voice.")
    tts_text: Speakable
    instruction: Said | None = None
    priority: Priority = Field(
        default=Priority.NORMAL,
        description="Which of the waiting tasks come first. None of them waits for ever.",
    )
    audio_format: AudioFormat | None = Field(
        default=None,
        alias="format",
        description="What the audio is to be: WAV (16-bit PCM), MP3, or Opus in Ogg. Left out, it "
        "is as the service is set (AUDIO_FORMAT).",
    )
    callback_url: Annotated[Said, Field(max_length=URL_MAX_CHARS)] | None = None


class RetryRequest(Body):
    """Which task; text and template are only compared with the task's."""

    task_id: str = Field(alias="taskId")
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    tts_text: str | None = None


class CancelRequest(Body):
    """Which task."""

    task_id: str = Field(alias="taskId")


class DeadLetterFilter(BaseModel):
    """Which dead letters; what is left out does not matter, and what is misspelt is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Word | None = Field(default=None, description="The error's code.")
    step: Word | None = Field(default=None, description="The step at which they failed.")
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    since: Instant | None = Field(
        default=None, description="The earliest failure, as an ISO 8601 time with offset."
    )
    until: Instant | None = Field(
        default=None, description="They failed before this ISO 8601 time with offset."
    )
    permanent: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description=PERMANENT
    )
    owner: Name | None = Field(
        default=None, description="Whose tasks; for keys that see everybody's."
    )


class DismissRequest(Body):
    """Either the tasks by name or a filter, and why."""

    task_ids: Annotated[list[str], Field(min_length=1, max_length=NAMED_MAX)] | None = Field(
        default=None, alias="taskIds", description="Which tasks; instead of `filter`."
    )
    filter: DeadLetterFilter | None = Field(
        default=None, description="Which dead letters; `{}` is all of them. Instead of `taskIds`."
    )
    reason: Annotated[
        Text,
        AfterValidator(no_controls),
        Published(rf"^[^{CONTROLS}]*[^{CONTROLS}\s][^{CONTROLS}]*$"),
        Field(max_length=REASON_MAX_CHARS),
    ] = Field(description="Why; it stands in the log and in the streams.")
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="At most so many in this request; otherwise all."
    )
    cursor: Said | None = Field(
        default=None, description="The `next` of the answer before: go on from there."
    )
    dry_run: bool = Field(
        default=False, alias="dryRun", description="Only say what would be done; change nothing."
    )

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if (self.task_ids is None) == (self.filter is None):
            raise PydanticCustomError("chosen", "must have either taskIds or filter")
        return self


class RedriveRequest(DismissRequest):
    """Either the tasks by name or a filter, why, and how fast."""

    per_second: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        alias="perSecond",
        description="Tasks a second; REDRIVE_PER_SECOND is the default and the most.",
    )


class PredictionNews(BaseModel):
    """Replicate's webhook: a prediction as it stands, of which only this is read."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$", description="The prediction's id.")
    status: str = Field(description="Only a final one is heeded.")


def _not_callable(reason: str) -> PydanticCustomError:
    return PydanticCustomError(
        "callback_url", "cannot be called back: {reason}", {"reason": reason}
    )


def _callback_url(hosts: frozenset[str]) -> Any:
    """The type of an address that may be called back."""
    reach, pattern = CallbackReach(hosts), LISTED_URL if hosts else PUBLIC_URL

    def reachable(url: str) -> str:
        if not re.fullmatch(pattern, url, re.ASCII):
            raise _not_callable("it must be a URL such as https://app.example.com/hook")
        try:
            reach.check(httpx.URL(url))
        except httpx.InvalidURL as error:
            raise _not_callable("it is no URL") from error
        except OutOfReach as error:
            raise _not_callable(str(error)) from error
        return url

    long = Field(max_length=URL_MAX_CHARS)
    return Annotated[Said, long, AfterValidator(reachable), Published(pattern)]


def speech_request(settings: Settings) -> type[SpeechRequest]:
    """The model of ``POST /api/tts`` with the lengths that the settings allow."""
    lengths = settings.text_max_chars, settings.instruction_max_chars
    return _speech_request(*lengths, settings.callback_hosts)


@cache  # it takes some milliseconds, for HTTP, for WebSockets and for the description
def _speech_request(
    text_max_chars: int, instruction_max_chars: int, callback_hosts: frozenset[str]
) -> type[SpeechRequest]:
    text = Annotated[Speakable, Field(max_length=text_max_chars)]
    instruction = Annotated[Said, Field(max_length=instruction_max_chars)]
    how = Field(default=None, description="How to say it, such as 开心地.")
    whom = Field(
        default=None,
        description="Whom to tell when the task is over: an https URL on the public net (or on "
        "one of CALLBACK_HOSTS). See `taskEnded`.",
        json_schema_extra={"format": "uri"},
    )
    return create_model(
        "SpeechRequest",
        __base__=SpeechRequest,
        __doc__=SpeechRequest.__doc__,
        tts_text=(
            text,
            Field(description="What to say: at least one letter or digit, and no NUL."),
        ),
        instruction=(instruction | None, how),
        callback_url=(
            _callback_url(callback_hosts) | None,
            whom,
        ),
    )
