"""What clients send, as models: the validation, and later the published schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError

from gateway.errors import InvalidJson, InvalidRequest
from tts.config import Settings
from tts.domain import Status

M = TypeVar("M", bound=BaseModel)

LIST_LIMIT = 50
LIST_LIMIT_MAX = 200
POSITION_MAX = 2**63 - 1


def _no_nul(value: str) -> str:
    # PostgreSQL cannot store it, and no voice can speak it.
    if "\0" in value:
        raise PydanticCustomError("nul", "must not contain NUL characters")
    return value


def _not_blank(value: str) -> str:
    if not value or value.isspace():
        raise PydanticCustomError("blank", "must not be empty")
    return value


def _instant(value: object) -> object:
    """An ISO 8601 time with its offset; pydantic alone would take a number for one, too."""
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PydanticCustomError(
            "instant", "must be an ISO 8601 time with offset, such as 2025-01-31T12:00:00Z"
        )
    return instant


def _digits(value: object) -> object:
    """Pydantic alone would take ``1.0`` and ``1_000`` for integers, too."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise PydanticCustomError("digits", "must be a non-negative integer")
    return value


Digits = BeforeValidator(_digits)
TemplateId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Said = Annotated[str, AfterValidator(_no_nul)]
Text = Annotated[Said, AfterValidator(_not_blank)]


class Body(BaseModel):
    """Base of the bodies: strict types, unknown fields ignored as the original did."""

    model_config = ConfigDict(strict=True, frozen=True, populate_by_name=False)


class SpeechRequest(Body):
    """``POST /api/tts``; the lengths are limited by :func:`speech_request`."""

    template_id: TemplateId = Field(alias="templateId")
    tts_text: Text
    instruction: Said | None = None


class RetryRequest(Body):
    """``POST /api/tts/retry``; text and template are only compared with the task's."""

    task_id: str = Field(alias="taskId")
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    tts_text: str | None = None


class CancelRequest(Body):
    """``POST /api/tts/cancel``."""

    task_id: str = Field(alias="taskId")


class TaskFilter(BaseModel):
    """The query of ``GET /api/tts/tasks``."""

    model_config = ConfigDict(frozen=True)

    status: Status | None = None
    template_id: TemplateId | None = Field(default=None, alias="templateId")
    since: Annotated[datetime, BeforeValidator(_instant)] | None = None
    cursor: Said | None = None
    limit: Annotated[int, Digits, Field(ge=1, le=LIST_LIMIT_MAX)] = LIST_LIMIT


class TimeTravel(BaseModel):
    """The query of everything that can be seen as it was at a position."""

    model_config = ConfigDict(frozen=True)

    as_of: Annotated[int, Digits, Field(ge=0, le=POSITION_MAX)] | None = Field(
        default=None, alias="asOf"
    )


def speech_request(settings: Settings) -> type[SpeechRequest]:
    """The model of ``POST /api/tts`` with the lengths that the settings allow."""
    text = Annotated[Text, Field(max_length=settings.text_max_chars)]
    instruction = Annotated[Said, Field(max_length=settings.instruction_max_chars)]
    return create_model(
        "SpeechRequest",
        __base__=SpeechRequest,
        tts_text=(text, ...),
        instruction=(instruction | None, None),
    )


def parse_body(model: type[M], body: bytes) -> M:
    """One pass over the bytes: JSON and fields together.

    Raises:
        InvalidJson, InvalidRequest
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
    return InvalidRequest(
        "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}"
            for problem in problems
        )
    )
