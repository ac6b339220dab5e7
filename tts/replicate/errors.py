"""Names each failure at Replicate; pure. ``tts.domain.failures`` says what is done about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from tts.domain.failures import StepError
from tts.http.fetch import retry_after

MESSAGE_CHARS = 300

_AMBIGUOUS = "create_ambiguous"
_UNAVAILABLE = "replicate_unavailable"
_EVERYWHERE = {
    401: "replicate_unauthorized",
    402: "replicate_payment_required",
    403: "replicate_forbidden",
    408: _UNAVAILABLE,
    429: "replicate_throttled",
}
_BY_STEP: dict[str, dict[int, str]] = {
    "create": {
        400: "invalid_input",
        404: "replicate_model_missing",
        408: _AMBIGUOUS,
        422: "invalid_input",
    },
    "poll": {404: "prediction_lost", 410: "prediction_lost"},
    "cancel": {},
    "find": {},
}
# Nothing is under way any more when Replicate itself says so; 502 and 504 are a proxy's words.
_OWN = {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}
# The words of an error that decide; anything else that failed would fail again.
_PASSING = {
    "prediction_crowded_out": re.compile(
        r"\b(?:E003|E1001)\b|high demand|out of memory|OutOfMemory|CUDA error", re.IGNORECASE
    ),
    "prediction_interrupted": re.compile(
        r"\b(?:PA|E1000|E6716|E8367|E8765|E9243|E9825|E9828)\b|Director:"
        r"|(?i:please retry|try again)"
    ),
    "prediction_inputs": re.compile(
        r"timed[ -]?out|time-?out|incompleteread|max retries exceeded|name resolution"
        r"|connection[ .]{0,2}(?:aborted|broken|closed|refused|reset)"
        r"|(?:remote|server)(?: end)? ?(?:closed|disconnected)|errno (?:104|110|111)\b"
        r"|\b5(?:0[0234]|2\d)\b[: ]{0,3}(?:bad gateway|error|for|from|gateway|internal|on|server"
        r"|service|unavailable|web|while)\b"
        r"|(?:https?(?: ?error)?|status(?:[ _]code)?|response|source_audio|url|download\w*"
        r"|fetch\w*)\b[^\n]{0,80}?\b5(?:0[0234]|2\d)\b",
        re.IGNORECASE,
    ),
}
READ_CHARS = 20_000  # of an error, in which those words are looked for
_RESETS = re.compile(r"resets in ~?(\d+)s")
# An error may quote what was said, and is stored for good. Fewer characters than these in common
# are chance; they say more in Chinese than in English.
_QUOTED_CHARS = 3
_QUOTED_ASCII_CHARS = 8


def refused(
    step: str, status: int, headers: Mapping[str, str], body: bytes, said: Iterable[str] = ()
) -> StepError:
    """Replicate answered ``status``; of ``said``, nothing gets into the message."""
    problem = _object(body)
    told = [problem[name] for name in ("title", "detail") if isinstance(problem.get(name), str)]
    reason = masked(": ".join(told), said) or "no reason given"
    code = _code(step, status, problem)
    own = bool(problem) and headers.get("content-type", "").startswith("application/problem+json")
    if step == "create" and own and status in _OWN:
        code = "create_failed"
    message = f"Replicate answered {status}: {reason}"
    return StepError(code, step, message[:MESSAGE_CHARS], retry_after=_wait(headers, problem))


def unreached(step: str, error: httpx.HTTPError | TimeoutError) -> StepError:
    """No whole reply arrived."""
    what = f"Replicate did not answer: {type(error).__name__}"
    # These three come before the first byte of the request has left.
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return StepError("replicate_unreachable", step, what)
    return StepError(_AMBIGUOUS if step == "create" else _UNAVAILABLE, step, what)


def unreadable(step: str, what: str) -> StepError:
    """A reply arrived that is none that Replicate documents."""
    message = f"Replicate's answer cannot be read: {what}"
    return StepError(_AMBIGUOUS if step == "create" else "replicate_unreadable", step, message)


def failed(error: object, said: Iterable[str] | None) -> StepError:
    """The prediction failed, for the reason ``error``; ``said`` is None if nobody knows it."""
    reason = error if isinstance(error, str) and error else "no reason given"
    # What was said must not decide: a text may speak of time-outs.
    words = _unquoted(reason[:READ_CHARS], said or ())
    passing = (code for code, pattern in _PASSING.items() if pattern.search(words))
    code = next(passing, "prediction_failed")
    message = "for a reason that may quote the text" if said is None else words[:MESSAGE_CHARS]
    return StepError(code, "poll", f"The prediction failed: {message}"[:MESSAGE_CHARS])


def lost(*, data_removed: bool) -> StepError:
    """The prediction succeeded and has nothing to show for it."""
    if data_removed:
        code, what = "prediction_expired", "Replicate has removed the output"
    else:
        code, what = "prediction_empty", "The prediction succeeded without an output"
    return StepError(code, "poll", what)


def masked(message: str, said: Iterable[str]) -> str:
    """The message without quotations of what was ``said``, and trimmed."""
    return _unquoted(message[: 4 * MESSAGE_CHARS], said)[:MESSAGE_CHARS]


def _unquoted(message: str, said: Iterable[str]) -> str:
    hidden = [False] * len(message)
    for phrase in said:
        for spelling in {phrase, json.dumps(phrase)[1:-1]}:
            for size in {
                min(_QUOTED_CHARS, len(spelling)),
                min(_QUOTED_ASCII_CHARS, len(spelling)),
            }:
                _hide(message, spelling, size, hidden)
    shown = "".join("\0" if hide else char for char, hide in zip(message, hidden, strict=True))
    return re.sub("\0+", "…", shown)


def _hide(message: str, spelling: str, size: int, hidden: list[bool]) -> None:
    runs = {spelling[i : i + size] for i in range(len(spelling) - size + 1)} - {""}
    if size < min(_QUOTED_ASCII_CHARS, len(spelling)):
        runs = {run for run in runs if not run.isascii()}
    for i in range(len(message) - size + 1):
        if message[i : i + size] in runs:
            hidden[i : i + size] = [True] * size


def _code(step: str, status: int, problem: Mapping[str, Any]) -> str:
    if code := (_EVERYWHERE | _BY_STEP[step]).get(status):
        # One status for two: the text cannot be spoken, or we ask for what is not there.
        if code == "invalid_input" and "version" in str(problem.get("title")).lower():
            return "replicate_version_refused"
        return code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _AMBIGUOUS if step == "create" else _UNAVAILABLE
    if step != "create":
        return "replicate_unreadable"
    if status < HTTPStatus.BAD_REQUEST:
        return "replicate_moved"
    return "create_refused"


def _wait(headers: Mapping[str, str], problem: Mapping[str, Any]) -> float | None:
    """How long Replicate asks us to wait: by header, field or, for want of both, in words."""
    if (asked := retry_after(headers)) is not None:
        return asked
    field = problem.get("retry_after")
    if isinstance(field, int | float) and not isinstance(field, bool):
        return max(float(field), 0.0)
    words = _RESETS.search(str(problem.get("detail", "")))
    return float(words[1]) if words else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
