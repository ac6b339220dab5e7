"""What clients send, as models: the validation and the published schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

import httpx
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.errors import InvalidJson, InvalidRequest, NothingToSpeak
from tts.application.dead_letters import REASON_MAX_CHARS
from tts.config import Settings
from tts.domain.values import Priority, Status
from tts.http.callbacks import CallbackReach
from tts.http.errors import OutOfReach
from tts.observability.visible import CONTROLS, is_plain_line
from tts.text import segments

M = TypeVar("M", bound=BaseModel)

LIST_LIMIT = 50
LIST_LIMIT_MAX = 200
DAYS_MAX = 92  # of usage in one answer: a quarter
NAMED_MAX = 1000  # tasks named in one request
URL_MAX_CHARS = 2000
PUBLIC_URL = r"^https://([A-Za-z0-9-]+\.)+[A-Za-z]{2,}(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?([/?][!-~]*)?$"
LISTED_URL = r"^https?://[!-~]+$"
POSITION_MAX = 2**53 - 1  # the largest integer that is one everywhere in JSON


@dataclass(frozen=True)
class Published:
    """Says in the published schema what a validator in Python checks."""

    pattern: str

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(core) | {"pattern": self.pattern}


def _no_nul(value: str) -> str:
    # PostgreSQL cannot store it, and no voice can speak it.
    if "\0" in value:
        raise PydanticCustomError("nul", "must not contain NUL characters")
    return value


def _no_controls(value: str) -> str:
    # It is shown in terminals, which obey C0 and C1, and beside other text, which bidi reorders.
    if not is_plain_line(value):
        raise PydanticCustomError("controls", "must be one line without control characters")
    return value


def _not_blank(value: str) -> str:
    if not value or value.isspace():
        raise PydanticCustomError("blank", "must not be empty")
    return value


def _speakable(value: str) -> str:
    if not segments.speakable(value):
        raise PydanticCustomError("nothing_to_speak", "must hold a letter or a digit to speak")
    return value


def _instant(value: object) -> object:
    """An ISO 8601 time with its offset; pydantic alone would take a number for one, too."""
    try:
        instant = datetime.fromisoformat(str(value))
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)  # which the first and the last day of time may leave
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "instant", "must be an ISO 8601 time with offset, such as 2025-01-31T12:00:00Z"
    )


def _digits(value: object) -> object:
    """Pydantic alone would take ``1.0`` and ``1_000`` for integers, too."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise PydanticCustomError("digits", "must be a non-negative integer")
    return value


def _truth(value: object) -> object:
    """Pydantic alone would take ``yes`` and ``1``, too; in a query everything is text."""
    if value in {"true", "false"}:
        return value == "true"
    raise PydanticCustomError("truth", "must be true or false")


def _flag(value: object) -> object:
    if value in {"0", "1"}:
        return value == "1"
    return _truth(value)


PERMANENT = "Whether no repetition can help."
Digits = BeforeValidator(_digits)
TemplateId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Said = Annotated[str, AfterValidator(_no_nul), Published(r"^[^\x00]*$")]
Word = Annotated[Said, Field(max_length=255)]
Name = Annotated[
    Said, AfterValidator(_no_controls), Published(rf"^[^{CONTROLS}]*$"), Field(max_length=255)
]
Text = Annotated[Said, AfterValidator(_not_blank), Published(r"^[^\x00]*[^\x00\s][^\x00]*$")]


Speakable = Annotated[
    Said, AfterValidator(_speakable), Published(r"^[^\x00]*[\p{L}\p{N}][^\x00]*$")
]


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
    callback_url: Annotated[Said, Field(max_length=URL_MAX_CHARS)] | None = None


class RetryRequest(Body):
    """Which task; text and template are only compared with the task's."""

    task_id: str = Field(alias="taskId")
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    tts_text: str | None = None


class CancelRequest(Body):
    """Which task."""

    task_id: str = Field(alias="taskId")


class TaskFilter(BaseModel):
    """The query of ``GET /api/tts/tasks``."""

    model_config = ConfigDict(frozen=True)

    status: Status | None = None
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    since: Annotated[datetime, BeforeValidator(_instant)] | None = Field(
        default=None, description="The earliest creation, as an ISO 8601 time with offset."
    )
    cursor: Said | None = Field(default=None, description="The `nextCursor` of the page before.")
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX), Digits] = Field(
        default=LIST_LIMIT, description="How many tasks a page has at most."
    )


class HealthQuery(BaseModel):
    """The query of ``GET /health``; what is not known is ignored, as those who ask add to it."""

    model_config = ConfigDict(frozen=True)

    deep: Annotated[bool, BeforeValidator(_flag)] = Field(
        default=False, description="Of the whole service, and not of this process alone: `1`."
    )


class UsageQuery(BaseModel):
    """The query of ``GET /api/usage``; what is misspelt is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Name | None = Field(
        default=None, description="Whose usage; for keys that see everybody's."
    )
    days: Annotated[int, Field(ge=1, le=DAYS_MAX), Digits] = Field(
        default=1, description="How many days, today (UTC) among them."
    )
    cursor: Word | None = Field(default=None, description="The `nextCursor` of the page before.")
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX), Digits] = Field(
        default=LIST_LIMIT, description="How many owners a page has at most."
    )


class DeadLetterFilter(BaseModel):
    """Which dead letters; what is left out does not matter, and what is misspelt is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Word | None = Field(default=None, description="The error's code.")
    step: Word | None = Field(default=None, description="The step at which they failed.")
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    since: Annotated[datetime, BeforeValidator(_instant)] | None = Field(
        default=None, description="The earliest failure, as an ISO 8601 time with offset."
    )
    until: Annotated[datetime, BeforeValidator(_instant)] | None = Field(
        default=None, description="They failed before this ISO 8601 time with offset."
    )
    permanent: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description=PERMANENT
    )
    owner: Name | None = Field(
        default=None, description="Whose tasks; for keys that see everybody's."
    )


class DeadLetterQuery(DeadLetterFilter):
    """The query of ``GET /api/dead-letters``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    permanent: Annotated[bool, BeforeValidator(_truth)] | None = Field(
        default=None, description=PERMANENT
    )
    cursor: Said | None = Field(default=None, description="The `nextCursor` of the page before.")
    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX), Digits] = Field(
        default=LIST_LIMIT, description="How many a page has at most."
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
        AfterValidator(_no_controls),
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


class TimeTravel(BaseModel):
    """The query of everything that can be seen as it was at a position."""

    model_config = ConfigDict(frozen=True)

    as_of: Annotated[int, Field(ge=0, le=POSITION_MAX), Digits] | None = Field(
        default=None, alias="asOf", description="A position in the log; the newest if left out."
    )


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
    text = Annotated[Speakable, Field(max_length=settings.text_max_chars)]
    instruction = Annotated[Said, Field(max_length=settings.instruction_max_chars)]
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
            _callback_url(settings.callback_hosts) | None,
            whom,
        ),
    )


def parse_body(model: type[M], body: bytes) -> M:
    """One pass over the bytes: JSON and fields together.

    Raises:
        InvalidJson, InvalidRequest, NothingToSpeak
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from error


def parse_query(model: type[M], query: dict[str, Any]) -> M:
    """Read a query, whose values are all text.

    Raises:
        InvalidRequest
    """
    try:
        return model.model_validate(query)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> InvalidJson | InvalidRequest:
    # Without the input: it may be what a person said, and errors end up in logs.
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return InvalidJson(f"the body is not valid JSON: {problems[0]['msg']}")
    kinds = {problem["type"] for problem in problems}
    return (NothingToSpeak if kinds == {"nothing_to_speak"} else InvalidRequest)(
        "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}"
            for problem in problems
        )
    )
