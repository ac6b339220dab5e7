"""What each answer looks like: a reader sees it before the first request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from gateway.description.schemas import Json
from gateway.static_files import STATIC


@cache
def _answers() -> Mapping[str, Mapping[str, Any]]:
    answers: Json = orjson.loads((STATIC / "api-answers.json").read_bytes())
    return answers


def answered(operation: str, status: int) -> Any:
    """What the operation of that id has for that status: the envelope's data, or a text.

    None where the answer is audio, or nothing.
    """
    return _answers().get(operation, {}).get(str(int(status)))


def refused(code: str, meaning: str, **more: Any) -> Json:
    """One of a response's ``examples``."""
    return {"value": {"success": False, "error": meaning, "code": code, **more}}
