"""The requests, as arguments for httpx, and the reading of their answers. No I/O."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from tts.client.errors import NO_ANSWER, TTSError
from tts.client.results import Accepted, Task

Call = dict[str, Any]

PAGE = 200


def generate(
    template_id: str,
    text: str,
    *,
    instruction: str | None,
    wait: float,
    idempotency_key: str | None,
    priority: str | None,
    callback_url: str | None,
    format: str | None,  # noqa: A002 -- the wire's name
) -> Call:
    """``POST /api/tts``; ``wait`` in seconds."""
    body = {"templateId": template_id, "tts_text": text}
    headers = {}
    optional = {
        "instruction": instruction,
        "priority": priority,
        "callback_url": callback_url,
        "format": format,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if wait:
        headers["Prefer"] = f"wait={math.ceil(wait)}"
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    return {"method": "POST", "url": "/api/tts", "json": body, "headers": headers}


def retry(task_id: str) -> Call:
    """``POST /api/tts/retry``."""
    return {"method": "POST", "url": "/api/tts/retry", "json": {"taskId": task_id}}


def cancel(task_id: str) -> Call:
    """``POST /api/tts/cancel``."""
    return {"method": "POST", "url": "/api/tts/cancel", "json": {"taskId": task_id}}


def task(task_id: str) -> Call:
    """``GET /api/tts/task/:taskId``."""
    return {"method": "GET", "url": f"/api/tts/task/{quote(task_id, safe='')}"}


def tasks(
    *, status: str | None, template_id: str | None, since: datetime | None, cursor: str | None
) -> Call:
    """``GET /api/tts/tasks``: one page."""
    asked = {
        "status": status,
        "templateId": template_id,
        "since": since.isoformat() if since else None,
        "cursor": cursor,
        "limit": PAGE,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"method": "GET", "url": "/api/tts/tasks", "params": given}


def answer(response: httpx.Response) -> Any:
    """The data of the envelope.

    Raises:
        TTSError: the service refused, or it was not the service that answered.
    """
    try:
        envelope = response.json()
        if response.is_success and envelope["success"]:
            return envelope["data"]
        message, code = envelope["error"], envelope["code"]
    except (ValueError, LookupError, TypeError) as error:
        raise TTSError(
            f"{response.url} answered {response.status_code} with something unknown",
            code="bad_answer",
            status=response.status_code,
        ) from error
    after = response.headers.get("Retry-After", "")
    raise TTSError(
        message,
        code=code,
        status=response.status_code,
        task_id=envelope.get("taskId"),
        retry_after=float(after) if after.isdigit() else None,
    )


def no_answer(error: httpx.TransportError) -> TTSError:
    """What a failure of the connection is to the caller."""
    return TTSError(f"no answer: {error or type(error).__name__}", code=NO_ANSWER)


def succeeded(task: Task) -> Task:
    """The task, if it ended well.

    Raises:
        TTSError: it did not, or its audio has been erased since.
    """
    if task.status == "succeeded" and task.erased_at is None:
        return task
    if task.status == "succeeded":
        raise TTSError("the task was erased", code="task_erased", task_id=task.task_id)
    if task.status == "canceled":
        raise TTSError("the task was canceled", code="canceled", task_id=task.task_id)
    raise TTSError(task.error or "failed", code=task.code or "failed", task_id=task.task_id)


def accepted(task: Task) -> Accepted:
    """The answer to ``generate``, from a task that was waited for."""
    return Accepted(
        task_id=task.task_id,
        status=task.status,
        audio_url=task.audio_url,
        position=task.position,
        suspect_segments=task.suspect_segments,
    )
