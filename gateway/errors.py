"""The one table of what clients are told when something goes wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import ClassVar

import orjson
from sanic import HTTPResponse, Request
from sanic.exceptions import PayloadTooLarge, SanicException

from gateway.answers import HEADERS
from gateway.security import Event
from tts.application.dead_letters import NotADeadLetter
from tts.application.tasks import IdempotencyMismatch, TaskArchived, TaskNotFound
from tts.domain.errors import NewerEvent, TaskErased, TransitionRefused
from tts.domain.failures import StepError
from tts.observability.repeated import Repeated
from tts.ports.errors import BadCursor, Conflict, Unavailable
from tts.wire import Refusal

logger = logging.getLogger(__name__)
_said = Repeated()

RETRY_AFTER_SECONDS = 2


class GatewayError(Exception):
    """A request that cannot be served; the message is for the client.

    ``task_id`` is the task's that it is about, if there is one, and ``event`` what the operator
    hears of it, if anything.
    """

    event: ClassVar[Event | None] = None
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id


class Unauthorized(GatewayError):
    """No key, or none that is good."""

    headers = MappingProxyType({"WWW-Authenticate": 'Bearer realm="tts"'})


class BadCredential(Unauthorized):
    """The key or token that was shown is not good; ``key_id`` is whose it is, if that is known.

    A ``genuine`` one was good once.
    """

    event = Event.CREDENTIAL_REFUSED

    def __init__(self, message: str, *, key_id: str = "", genuine: bool = False) -> None:
        super().__init__(message)
        self.key_id = key_id
        self.genuine = genuine


class BadSignature(GatewayError):
    """The webhook is not signed by Replicate, or not within the last minutes."""

    event = Event.BAD_SIGNATURE


class Forbidden(GatewayError):
    """The key or token is good, but not for this."""

    event = Event.FORBIDDEN


class Later(GatewayError):
    """Not now: the same request may be served ``retry_after`` seconds later."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}


class TooManyRequests(Later):
    """The client sends faster than it may."""


class TooManyFailures(TooManyRequests):
    """Too many credentials from this address were wrong."""

    event = Event.ADDRESS_THROTTLED


class TooManyStreams(Later):
    """The client has as many streams open as it may."""


class NoRoom(Later):
    """The process has as many streams open as it has files for."""


class QueueFull(Later):
    """As many tasks wait as may; nothing was recorded."""


class TooManyTasks(Later):
    """The owner has as many tasks unfinished as it may; nothing was recorded."""


class CharactersExhausted(Later):
    """The owner has used up its characters for today (UTC); nothing was recorded."""


class InvalidJson(GatewayError):
    """The body is not JSON."""


class InvalidRequest(GatewayError):
    """A field of the body or the query is wrong; the message names it and says why."""


class NothingToSpeak(InvalidRequest):
    """The text holds nothing that a voice could speak."""


class UnsupportedMediaType(GatewayError):
    """The body is declared as something else than JSON."""


class NotAWebSocket(GatewayError):
    """The request is no handshake that a WebSocket begins with."""

    headers = MappingProxyType({"Upgrade": "websocket"})


class ReadModelBehind(Later):
    """What is asked has not come to that position of the log in time; ask again."""


class HostNotAllowed(GatewayError):
    """The request is for a host that is not this service's."""

    event = Event.FOREIGN_HOST


class RouteNotFound(GatewayError):
    """There is nothing under this path."""


class RangeNotSatisfiable(GatewayError):
    """The asked part lies outside of the file.

    ``size`` is how many bytes that has.
    """

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class TaskMismatch(GatewayError):
    """What the client says about a task is not what the task says."""


class SpeechFailed(GatewayError):
    """The task ended without audio while the client waited for it.

    ``permanent`` says that the same request can never succeed.
    """

    def __init__(self, message: str, *, task_id: str, code: str, permanent: bool) -> None:
        super().__init__(message, task_id=task_id)
        self.code = code
        self.permanent = permanent


TABLE: Mapping[type[Exception], tuple[HTTPStatus, str]] = {
    InvalidJson: (HTTPStatus.BAD_REQUEST, "invalid_json"),
    InvalidRequest: (HTTPStatus.BAD_REQUEST, "invalid_request"),
    NothingToSpeak: (HTTPStatus.BAD_REQUEST, "nothing_to_speak"),
    NotAWebSocket: (HTTPStatus.UPGRADE_REQUIRED, "websocket_expected"),
    BadCursor: (HTTPStatus.BAD_REQUEST, "invalid_cursor"),
    ReadModelBehind: (HTTPStatus.SERVICE_UNAVAILABLE, "read_model_behind"),
    UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    Unauthorized: (HTTPStatus.UNAUTHORIZED, "unauthorized"),
    BadSignature: (HTTPStatus.UNAUTHORIZED, "bad_signature"),
    Forbidden: (HTTPStatus.FORBIDDEN, "forbidden"),
    TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "rate_limited"),
    TooManyStreams: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_streams"),
    NoRoom: (HTTPStatus.SERVICE_UNAVAILABLE, "no_room"),
    TooManyTasks: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_tasks"),
    CharactersExhausted: (HTTPStatus.TOO_MANY_REQUESTS, "characters_exhausted"),
    QueueFull: (HTTPStatus.SERVICE_UNAVAILABLE, "queue_full"),
    HostNotAllowed: (HTTPStatus.MISDIRECTED_REQUEST, "host_not_allowed"),
    RouteNotFound: (HTTPStatus.NOT_FOUND, "not_found"),
    TaskNotFound: (HTTPStatus.NOT_FOUND, "task_not_found"),
    TaskArchived: (HTTPStatus.GONE, "task_archived"),
    RangeNotSatisfiable: (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
    NotADeadLetter: (HTTPStatus.NOT_FOUND, "not_a_dead_letter"),
    TaskMismatch: (HTTPStatus.UNPROCESSABLE_ENTITY, "task_mismatch"),
    IdempotencyMismatch: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
    Conflict: (HTTPStatus.CONFLICT, "conflict"),
    TaskErased: (HTTPStatus.CONFLICT, "task_erased"),
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    NewerEvent: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    StepError: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),  # the audio store, at an erasure
}
# What comes from behind us names hosts, ports and paths: clients get these, and the log the rest.
SENTENCES: Mapping[type[Exception], str] = {
    Unavailable: "a part of the service does not answer; try again",
    StepError: "the audio store does not answer; try again",
    NewerEvent: "the service is being upgraded; try again",
}
REFUSALS = {
    "request_retry": "task_not_failed",
    "request_cancel": "task_is_over",
    "dismiss": "task_not_failed",
    "erase": "task_not_over",
}
HTTP_CODES = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "uri_too_long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "header_too_large",
    HTTPStatus.EXPECTATION_FAILED: "expectation_failed",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


def answer(request: Request, error: Exception) -> HTTPResponse:
    """The response to a request that ended in ``error``; what nobody foresaw is logged here."""
    status, body = refusal(error, f"{request.method} {request.path}")
    headers = dict(HEADERS)
    if isinstance(error, SanicException | GatewayError):
        headers |= {name: str(value) for name, value in error.headers.items()}
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return HTTPResponse(orjson.dumps(body), status, headers, "application/json")


def refusal(error: Exception, what: str) -> tuple[HTTPStatus, Refusal]:
    """The status and the body of the answer when ``what`` ended in ``error``."""
    status, code = _classify(error)
    message = str(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s failed", what, exc_info=error)
        message = "internal error"
    for kind, sentence in SENTENCES.items():
        if isinstance(error, kind):
            if _said.is_news(f"{kind.__name__}: {error}"):  # not for each request of an outage
                logger.warning("%s failed: %s", what, error)
            message = sentence
    body: Refusal = {"success": False, "error": message, "code": code}
    task_id = getattr(error, "task_id", None)
    if task_id is not None:
        body["taskId"] = task_id
    return status, body


def _classify(error: Exception) -> tuple[HTTPStatus, str]:
    if isinstance(error, SpeechFailed):
        # 422: asking again is of no use. 424: somebody behind us failed, and went on failing.
        status = (
            HTTPStatus.UNPROCESSABLE_ENTITY if error.permanent else HTTPStatus.FAILED_DEPENDENCY
        )
        return status, error.code
    if isinstance(error, TransitionRefused):
        return HTTPStatus.CONFLICT, REFUSALS[error.command]
    if isinstance(error, SanicException):
        status = HTTPStatus(error.status_code)
        if isinstance(error, PayloadTooLarge) and "header" in str(error):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE  # Sanic has one class for both
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            return status, "internal_error"
        return status, HTTP_CODES.get(status, "bad_request")
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error"
