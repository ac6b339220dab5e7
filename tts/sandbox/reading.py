"""Reading what a caller sends, and refusing it in Replicate's words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
from sanic import Request

from tts.sandbox import model
from tts.sandbox.problems import INVALID_VERSION, Refused, problem
from tts.sandbox.webhook_plan import DEFAULT_EVENTS, EVENTS

WAIT_SECONDS_MOST = 60
CANCEL_AFTER_SECONDS = (5, 86_400)

_TOKEN = re.compile(r"(?i:bearer|token)\s+\S+")
_VERSION = re.compile(r"[0-9a-f]{64}")
_WAIT = re.compile(r"(?:^|[,;\s])wait(?:=(\d+))?(?:$|[,;\s])")
_DURATION = re.compile(r"(\d+)([smh]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def authenticate(request: Request) -> None:
    """Refuse a request that carries no token; any token will do."""
    if not _TOKEN.fullmatch(request.headers.get("authorization", "")):
        raise Refused(problem(401))


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refused(problem(400, detail=f"Invalid JSON: {error}")) from error
    if not isinstance(body, dict):
        raise Refused(problem(400, detail="The body must be a JSON object."))
    return body


def spoken_text(request: Request) -> str:
    """The text to speak as far as the body can be read, else nothing."""
    try:
        return str(orjson.loads(request.body)["input"]["tts_text"])
    except (ValueError, LookupError, TypeError):
        return ""


def permitted_version(body: dict[str, Any], allowed: tuple[str, ...] | None) -> str:
    """The version's id; ``owner/name:id`` names it too."""
    if "version" not in body:
        raise model.invalid([("required", "", "version is required")])
    version = str(body["version"]).removeprefix(f"{model.OWNER}/{model.NAME}:")
    if not is_version(version, allowed):
        title, detail = INVALID_VERSION
        raise Refused(problem(422, title=title, detail=detail))
    return version


def is_version(version: str, allowed: tuple[str, ...] | None) -> bool:
    """Whether the model has this version."""
    return bool(_VERSION.fullmatch(version)) and (allowed is None or version in allowed)


def webhook(body: dict[str, Any]) -> tuple[str | None, list[str]]:
    """The webhook's URL and the events that it is for."""
    url, events = body.get("webhook"), body.get("webhook_events_filter")
    if url is None:
        return None, []
    if not re.match(r"https?://", str(url)):
        raise model.invalid([("format", "webhook", "Does not match format 'uri'")])
    if events is None:
        return str(url), list(DEFAULT_EVENTS)
    if not isinstance(events, list) or not set(events) <= set(EVENTS):
        text = f"webhook_events_filter must be a list of {', '.join(EVENTS)}"
        raise model.invalid([("enum", "webhook_events_filter", text)])
    return str(url), events


def cancel_after(request: Request) -> float | None:
    """Seconds after which the prediction is ended, or None."""
    header = request.headers.get("cancel-after")
    if header is None:
        return None
    match = _DURATION.fullmatch(header.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    low, high = CANCEL_AFTER_SECONDS
    if not low <= seconds <= high:
        raise Refused(problem(400, detail="Cancel-After must be between 5 seconds and 24 hours."))
    return float(seconds)


def wait_seconds(request: Request) -> float | None:
    """How long the caller would like to wait for the output, or None for not at all."""
    preference = _WAIT.search(request.headers.get("prefer", ""))
    if preference is None:
        return None
    return float(min(max(1, int(preference[1] or WAIT_SECONDS_MOST)), WAIT_SECONDS_MOST))


def moment(request: Request, name: str, default: float) -> float:
    """A time in the query, as seconds since the epoch; one without a zone is UTC."""
    given = request.args.get(name)
    if given is None:
        return default
    try:
        # An unescaped plus sign arrives as a blank.
        time = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError as error:
        raise Refused(problem(400, detail=f"{name} must be an ISO 8601 date-time")) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
