"""The commands and queries of the app: ``/api/tts``."""

from __future__ import annotations

import re
from http import HTTPStatus
from time import perf_counter
from typing import Any
from uuid import UUID

import orjson
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.answers import Success
from gateway.errors import (
    InvalidCursor,
    InvalidRequest,
    SpeechFailed,
    TaskMismatch,
    UnsupportedMediaType,
)
from gateway.metrics import REQUESTS
from gateway.models import (
    CancelRequest,
    RetryRequest,
    TaskFilter,
    TimeTravel,
    parse_body,
    parse_query,
    speech_request,
)
from gateway.services import Services
from tts.application import TaskNotFound
from tts.domain import Task, TaskErased
from tts.ports import Recorded
from tts.wire import task_answer, timeline

JSON_TYPES = re.compile(r"application/(?:json|[\w.+-]+\+json)\s*(?:;|$)", re.IGNORECASE)
PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes."""
    tts = Tts(services)
    endpoint.add(app, "POST", "/api/tts", tts.request)
    endpoint.add(app, "POST", "/api/tts/retry", tts.retry)
    endpoint.add(app, "POST", "/api/tts/cancel", tts.cancel)
    endpoint.add(app, "GET", "/api/tts/task/<task_id:str>", tts.task)
    endpoint.add(app, "GET", "/api/tts/task/<task_id:str>/events", tts.timeline)
    endpoint.add(app, "DELETE", "/api/tts/task/<task_id:str>", tts.erase)
    endpoint.add(app, "GET", "/api/tts/tasks", tts.tasks)


class Tts:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._application = services.application
        self._speech_request = speech_request(services.settings)

    async def request(self, request: Request) -> HTTPResponse:
        """Accept a text. When the answer leaves, its event is on disk."""
        wanted = parse_body(self._speech_request, _json(request))
        key = request.headers.get("idempotency-key")
        if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
            raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters")
        started = perf_counter()
        task, position = await self._application.request(
            template_id=wanted.template_id,
            text=wanted.tts_text,
            instruction=wanted.instruction or "",
            owner=request.ctx.owner,
            idempotency_key=key,
        )
        REQUESTS.accepted(perf_counter() - started)
        prefer = request.headers.get("prefer")
        if prefer is not None and (wait := PREFER_WAIT.search(prefer)):
            seconds = min(int(wait[1]), self._services.settings.wait_max_seconds)
            if (ended := await self._services.hub.wait_final(task.id, seconds)) is not None:
                return Success(self._outcome(task.id, ended))
        answer = {
            "taskId": str(task.id),
            "message": "Audio generation started",
            "status": "started",
            "position": position,
        }
        return Success(answer, HTTPStatus.ACCEPTED)

    async def retry(self, request: Request) -> HTTPResponse:
        """Give a failed task another round of attempts."""
        wanted = parse_body(RetryRequest, _json(request))
        task_id = endpoint.task_id_of(wanted.task_id)
        task = await self._task(task_id, request.ctx.owner)
        if wanted.template_id not in {None, task.template_id}:
            raise TaskMismatch(
                f"templateId: the task has {task.template_id}", task_id=wanted.task_id
            )
        if wanted.tts_text is not None:
            said = await self._application.store.payload(task_id)
            if said is not None and said.text != wanted.tts_text:
                raise TaskMismatch("tts_text: the task has another text", task_id=wanted.task_id)
        _, position = await self._application.retry(
            task_id, by=request.ctx.owner or "client", reason="requested by the client"
        )
        answer = {
            "taskId": str(task_id),
            "message": "Retry initiated successfully",
            "position": position,
        }
        return Success(answer, HTTPStatus.ACCEPTED)

    async def cancel(self, request: Request) -> HTTPResponse:
        """Ask for the end of a task; the status says whether it is there already."""
        wanted = parse_body(CancelRequest, _json(request))
        task_id = endpoint.task_id_of(wanted.task_id)
        await self._task(task_id, request.ctx.owner)
        task, position = await self._application.cancel(
            task_id, by=request.ctx.owner or "client", reason="requested by the client"
        )
        answer = {
            "taskId": str(task_id),
            "message": "Cancellation requested",
            "status": task.status.value,
            "position": position,
        }
        return Success(answer, HTTPStatus.ACCEPTED)

    async def task(self, request: Request, task_id: str) -> HTTPResponse:
        """One task as the log has it, so that a client reads its own write."""
        events = await self._events(request, task_id)
        task = self._application.replay(events)
        assert task is not None  # noqa: S101 -- there is at least one event
        said = await self._application.store.payload(task.id)
        words = (said.text, said.instruction) if said else None
        return Success(task_answer(task, events[-1].position, words, self._services.audio.url))

    async def timeline(self, request: Request, task_id: str) -> HTTPResponse:
        """Everything that happened to a task, and how long each status lasted."""
        return Success(timeline(await self._events(request, task_id), self._services.audio.url))

    async def erase(self, request: Request, task_id: str) -> HTTPResponse:
        """Remove what was said and spoken; statuses and times stay."""
        uuid = endpoint.task_id_of(task_id)
        await endpoint.events_of(self._services, uuid, request.ctx.owner)
        task, position = await self._application.erase(
            uuid, self._services.audio, by=request.ctx.owner or "client"
        )
        assert task.erased_at is not None  # noqa: S101 -- that is what erase does
        answer = {
            "taskId": str(uuid),
            "message": "Text and audio erased",
            "status": task.status.value,
            "erasedAt": task.erased_at.isoformat(),
            "position": position,
        }
        return Success(answer)

    async def tasks(self, request: Request) -> HTTPResponse:
        """The owner's tasks, from the read model."""
        wanted = parse_query(TaskFilter, endpoint.query_of(request))
        try:
            page = await self._services.tasks.list(
                owner=request.ctx.owner,
                status=wanted.status.value if wanted.status else None,
                template_id=wanted.template_id,
                since=wanted.since,
                cursor=wanted.cursor,
                limit=wanted.limit,
            )
        except ValueError as error:
            raise InvalidCursor(f"cursor: {error}") from error
        audio_url = self._services.audio.url
        for task in page.tasks:
            key = task.pop("objectKey", None)
            task["audioUrl"] = audio_url(key) if key else None
        answer = {"tasks": page.tasks, "nextCursor": page.next_cursor, "position": page.position}
        return Success(answer)

    async def _events(self, request: Request, task_id: str) -> list[Recorded]:
        """The task's events, up to the position that the client asks for."""
        as_of = parse_query(TimeTravel, endpoint.query_of(request)).as_of
        uuid = endpoint.task_id_of(task_id)
        events = await endpoint.events_of(self._services, uuid, request.ctx.owner)
        if as_of is None:
            return events
        if events[0].position > as_of:
            raise TaskNotFound(f"task {uuid} did not exist at position {as_of}")
        return [event for event in events if event.position <= as_of]

    async def _task(self, task_id: UUID, owner: str) -> Task:
        task = self._application.replay(await endpoint.events_of(self._services, task_id, owner))
        assert task is not None  # noqa: S101 -- there is at least one event
        return task

    def _outcome(self, task_id: UUID, ended: Recorded) -> dict[str, str]:
        state = orjson.loads(ended.state)
        if ended.topic == Task.Succeeded.TOPIC:
            return {
                "taskId": str(task_id),
                "audio_url": self._services.audio.url(state["object_key"]),
                "status": "succeeded",
            }
        if ended.topic == Task.Failed.TOPIC:
            raise SpeechFailed(
                state["message"],
                task_id=str(task_id),
                code=state["code"],
                permanent=state["permanent"],
            )
        if ended.topic == Task.Erased.TOPIC:
            raise TaskErased(task_id)
        raise SpeechFailed(
            "the task was canceled", task_id=str(task_id), code="canceled", permanent=True
        )


def _json(request: Request) -> bytes:
    declared = request.headers.get("content-type")
    if declared is not None and not JSON_TYPES.match(declared):
        raise UnsupportedMediaType(f"Content-Type: must be application/json, not {declared!r}")
    return request.body
