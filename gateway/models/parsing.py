"""From bytes and queries to models, or to the sentence that says what is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import InvalidJson, InvalidRequest, NothingToSpeak

M = TypeVar("M", bound=BaseModel)


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

    A field that the model does not have is refused by name, unless the model ignores some.

    Raises:
        InvalidRequest
    """
    try:
        return model.model_validate(query)
    except ValidationError as error:
        raise _refusal(error, _fields(model)) from error


def _refusal(error: ValidationError, fields: str = "") -> InvalidJson | InvalidRequest:
    # Without the input: it may be what a person said, and errors end up in logs.
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return InvalidJson(f"the body is not valid JSON: {problems[0]['msg']}")
    kinds = {problem["type"] for problem in problems}
    return (NothingToSpeak if kinds == {"nothing_to_speak"} else InvalidRequest)(
        "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {_sentence(problem, fields)}"
            for problem in problems
        )
    )


def _sentence(problem: ErrorDetails, fields: str) -> str:
    if problem["type"] == "extra_forbidden":
        return f"there is no such field{fields}"
    return problem["msg"]


def _fields(model: type[BaseModel]) -> str:
    names = sorted(field.alias or name for name, field in model.model_fields.items())
    return f"; there are {', '.join(names)}" if names else ", nor any other"
