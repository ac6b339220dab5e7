"""What a failure's code means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict


class FailureCode(TypedDict):
    """One code of ``code`` in an update, a task or a dead letter."""

    code: str
    meaning: Annotated[str, Field(description="What happened.")]
    action: Annotated[str, Field(description="What a person does about it.")]


class FailureCodes(TypedDict):
    """All codes, by name."""

    language: Literal["en", "zh"]
    failures: list[FailureCode]
