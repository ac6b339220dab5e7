"""The shape of an operation's description, and what several of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

JSON = "application/json"
BODY_ERRORS = ("invalid_json", "invalid_request", "unsupported_media_type", "body_too_large")
NO_TASK = ("task_not_found",)
TASK_ERRORS = (*NO_TASK, "task_archived")

TASK_ID: Mapping[str, Any] = {
    "name": "taskId",
    "in": "path",
    "required": True,
    "description": "The task's id, as `POST /api/tts` answered it.",
    "schema": {"type": "string"},
    "example": "0198c0de-0000-7000-8000-000000000000",
}


@dataclass(frozen=True)
class Answer:
    """What one status below 400 means; ``model`` is the type in the envelope if there is one.

    ``leads_to`` are the operations, by method and path, that take the ``taskId`` of the answer.
    """

    description: str
    model: type[Any] | None = None
    content_types: tuple[str, ...] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict)
    leads_to: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One method of one path; ``id`` is what generated clients call it.

    ``errors`` are codes, and ``outcomes`` statuses whose codes are those that a task can fail with.
    ``curl`` comes before the URL, and ``path_example`` is the path that it is tried with.
    """

    id: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    errors: tuple[str, ...] = ()
    outcomes: Mapping[int, str] = field(default_factory=dict)
    parameters: tuple[Mapping[str, Any], ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_is_optional: bool = False
    example: Mapping[str, Any] | None = None
    curl: str = "curl -s"
    scheme: str = "http"
    path_example: str = ""


def header(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    """An optional header of a request."""
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"} | schema,
        "example": example,
    }


def query(name: str, description: str, example: str) -> dict[str, Any]:
    """An optional field of a query that no model has."""
    return header(name, description, example) | {"in": "query"}
