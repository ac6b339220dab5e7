"""The kinds of values that clients send: what is checked, and what the schemas say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from tts.observability.visible import CONTROLS, is_plain_line
from tts.text import segments

LIST_LIMIT = 50
LIST_LIMIT_MAX = 200
POSITION_MAX = 2**53 - 1  # the largest integer that is one everywhere in JSON


@dataclass(frozen=True)
class Published:
    """Says in the published schema what a validator in Python checks."""

    pattern: str

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(core) | {"pattern": self.pattern}


def no_nul(value: str) -> str:
    """Refuse NUL: PostgreSQL cannot store it, and no voice can speak it."""
    if "\0" in value:
        raise PydanticCustomError("nul", "must not contain NUL characters")
    return value


def no_controls(value: str) -> str:
    """Refuse what terminals obey, which show it, and what reorders the text beside it."""
    if not is_plain_line(value):
        raise PydanticCustomError("controls", "must be one line without control characters")
    return value


def not_blank(value: str) -> str:
    """Refuse what only looks like something."""
    if not value or value.isspace():
        raise PydanticCustomError("blank", "must not be empty")
    return value


def speakable(value: str) -> str:
    """Refuse what no voice can speak."""
    if not segments.speakable(value):
        raise PydanticCustomError("nothing_to_speak", "must hold a letter or a digit to speak")
    return value


def instant(value: object) -> object:
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


def digits(value: object) -> object:
    """Pydantic alone would take ``1.0`` and ``1_000`` for integers, too."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise PydanticCustomError("digits", "must be a non-negative integer")
    return value


def truth(value: object) -> object:
    """Pydantic alone would take ``yes`` and ``1``, too; in a query everything is text."""
    if value in {"true", "false"}:
        return value == "true"
    raise PydanticCustomError("truth", "must be true or false")


def flag(value: object) -> object:
    """As others write it, too."""
    if value in {"0", "1"}:
        return value == "1"
    return truth(value)


PERMANENT = "Whether no repetition can help."
NOT_BLANK = Published(r"^[^\x00]*[^\x00\s][^\x00]*$")
Digits = BeforeValidator(digits)
TemplateId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Said = Annotated[str, AfterValidator(no_nul), Published(r"^[^\x00]*$")]
Word = Annotated[Said, Field(max_length=255)]
Name = Annotated[
    Said, AfterValidator(no_controls), Published(rf"^[^{CONTROLS}]*$"), Field(max_length=255)
]
Text = Annotated[Said, AfterValidator(not_blank), NOT_BLANK]
# That it needs a letter or a digit is not in the pattern: few who read one know \p{L}.
Speakable = Annotated[Said, AfterValidator(speakable), NOT_BLANK]

Instant = Annotated[datetime, BeforeValidator(instant)]
Position = Annotated[int, Field(ge=0, le=POSITION_MAX), Digits]
Limit = Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX), Digits]
