"""The commands and queries of the app: ``/api/tts``."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

import orjson
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.admission import report_command
from gateway.access.roles import Need
from gateway.answers import Success
from gateway.commands import Commands, started
from gateway.errors import SpeechFailed
from gateway.models import (
    CancelRequest,
    RetryRequest,
    TaskFilter,
    TimeTravel,
    parse_body,
    parse_query,
)
from gateway.services import Services
from gateway.task_list import TaskList
from gateway.tasks import task_id_of
from tts.application.archives import Facts
from tts.application.task_list import TaskSelection
from tts.application.tasks import TaskArchived, TaskNotFound
from tts.domain.errors import TaskErased
from tts.domain.naming import format_of
from tts.domain.task import Task
from tts.ports.log import ArchivedTask, Recorded
from tts.wire import Erasure, Spoken, TaskAnswer, TaskRow, callback_fields, task_answer, timeline
from tts.wire import TaskList as TaskListAnswer

PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes."""
    tts = Tts(services)
    endpoint.add(app, "POST", "/api/tts", tts.request, need=Need.COMMAND)
    endpoint.add(app, "POST", "/api/tts/retry", tts.retry, need=Need.COMMAND)
    endpoint.add(app, "POST", "/api/tts/cancel", tts.cancel, need=Need.COMMAND)
    endpoint.add(app, "GET", "/api/tts/task/<task_id:str>", tts.task, need=Need.READ)
    endpoint.add(app, "GET", "/api/tts/task/<task_id:str>/events", tts.timeline, need=Need.READ)
    endpoint.add(app, "DELETE", "/api/tts/task/<task_id:str>", tts.erase, need=Need.COMMAND)
    endpoint.add(app, "GET", "/api/tts/tasks", tts.tasks, need=Need.READ)


class Tts:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._application = services.application
        self._commands = Commands(services)
        self._list = TaskList(services)

    async def request(self, request: Request) -> HTTPResponse:
        """Accept a text. When the answer leaves, its event is on disk."""
        header = request.headers.get
        order = parse_body(self._commands.speech_request, endpoint.json_of(request))
        receipt, position = await self._commands.generate(
            order,
            request.ctx.access,
            idempotency_key=header("idempotency-key"),
            traceparent=header("traceparent"),
        )
        prefer = header("prefer")
        if prefer is not None and (wait := PREFER_WAIT.search(prefer)):
            seconds = min(int(wait[1]), self._services.settings.wait_max_seconds)
            if (end := await self._services.hub.wait_final(receipt.id, seconds)) is not None:
                return Success(self._outcome(receipt.id, end))
            if (archived := await self._application.archived(receipt.id)) is not None:
                return Success(self._kept_outcome(archived))
        return Success(started(receipt, position), HTTPStatus.ACCEPTED)

    async def retry(self, request: Request) -> HTTPResponse:
        """Give a failed task another round of attempts."""
        order = parse_body(RetryRequest, endpoint.json_of(request))
        answer = await self._commands.retry(order, request.ctx.access)
        return Success(answer, HTTPStatus.ACCEPTED)

    async def cancel(self, request: Request) -> HTTPResponse:
        """Ask for the end of a task; the status says whether it is there already."""
        order = parse_body(CancelRequest, endpoint.json_of(request))
        answer = await self._commands.cancel(order, request.ctx.access)
        return Success(answer, HTTPStatus.ACCEPTED)

    async def task(self, request: Request, task_id: str) -> HTTPResponse:
        """One task as the log has it, so that a client reads its own write."""
        is_past = "asOf" in request.args  # what stood before it then, nobody knows
        try:
            events = await self._events(request, task_id)
        except TaskArchived as error:
            return Success(await self._archived(request, error))
        task = self._application.replay(events)
        words = await self._words(task.id)
        answer = task_answer(task, events[-1].position, words, self._services.audio.url)
        if not is_past:
            answer = {**answer, **await self._services.outlook.of(task, events)}
        if task.callback_url is None:
            return Success(answer)
        callback = await self._services.callbacks.newest(task.id) if task.final else None
        return Success({**answer, **callback_fields(task.callback_url, callback)})

    async def _archived(self, request: Request, refusal: TaskArchived) -> TaskAnswer:
        """A task as it was when its events left the log, and since then."""
        archived = refusal.archived
        as_of = parse_query(TimeTravel, endpoint.query_of(request)).as_of
        if as_of is not None and as_of < archived.position:
            raise refusal
        facts = Facts.read(archived)
        answer = facts.view(await self._words(archived.task_id), self._services.audio.url)
        if facts.callback_url is None:
            return answer
        callback = await self._services.callbacks.newest(archived.task_id)
        return {**answer, **callback_fields(facts.callback_url, callback)}

    async def _words(self, task_id: UUID) -> tuple[str, str] | None:
        payload = await self._application.store.payload(task_id)
        return (payload.text, payload.instruction) if payload else None

    async def timeline(self, request: Request, task_id: str) -> HTTPResponse:
        """Everything that happened to a task, and how long each status lasted."""
        return Success(timeline(await self._events(request, task_id), self._services.audio.url))

    async def erase(self, request: Request, task_id: str) -> HTTPResponse:
        """Remove what was said and spoken; statuses and times stay."""
        uuid = task_id_of(task_id)
        access = request.ctx.access
        erased = await self._application.erase(
            uuid, self._services.audio, by=access.owner or "client", scope=access.scope
        )
        report_command(access, "erase", f"task {uuid}", owner=erased.owner)
        answer: Erasure = {
            "taskId": str(uuid),
            "message": "Text and audio erased",
            "status": erased.status,
            "erasedAt": erased.at,
            "position": erased.position,
        }
        return Success(answer)

    async def tasks(self, request: Request) -> HTTPResponse:
        """The owner's tasks, from the read model."""
        query = parse_query(TaskFilter, endpoint.query_of(request))
        selection = TaskSelection(
            owner=request.ctx.access.narrowed(query.owner),
            status=query.status.value if query.status else None,
            template_id=query.template_id,
            code=query.code,
            since=query.since,
            until=query.until,
        )
        await self._services.freshness.reach(self._services.tasks, query.at_least)
        page = await self._list.page(
            selection, search=query.search, cursor=query.cursor, limit=query.limit
        )
        audio_url = self._services.audio.url
        for task in page.tasks:
            key = task.pop("objectKey", None)
            task["audioUrl"] = audio_url(key) if key else None
            task["format"] = format_of(key).value if key else None
        answer: TaskListAnswer = {
            "tasks": cast("list[TaskRow]", page.tasks),
            "nextCursor": page.next_cursor,
            **await self._services.freshness.of(page.position),
        }
        return Success(answer)

    async def _events(self, request: Request, task_id: str) -> list[Recorded]:
        """The task's events, up to the position that the client asks for."""
        as_of = parse_query(TimeTravel, endpoint.query_of(request)).as_of
        uuid = task_id_of(task_id)
        events = await self._application.history(uuid, request.ctx.access.scope)
        if as_of is None:
            return events
        if events[0].position > as_of:
            raise TaskNotFound(f"task {uuid} did not exist at position {as_of}")
        return [event for event in events if event.position <= as_of]

    def _outcome(self, task_id: UUID, end: Recorded) -> Spoken:
        state = orjson.loads(end.state)
        if end.topic == Task.Succeeded.TOPIC:
            answer: Spoken = {
                "taskId": str(task_id),
                "audio_url": self._services.audio.url(state["object_key"]),
                "status": "succeeded",
            }
            if state.get("suspects"):
                answer["suspectSegments"] = state["suspects"]
            return answer
        if end.topic == Task.Failed.TOPIC:
            raise SpeechFailed(
                state["message"],
                task_id=str(task_id),
                code=state["code"],
                permanent=state["permanent"],
            )
        if end.topic == Task.Erased.TOPIC:
            raise TaskErased(task_id)
        raise SpeechFailed(
            "the task was canceled", task_id=str(task_id), code="canceled", permanent=True
        )

    def _kept_outcome(self, archived: ArchivedTask) -> Spoken:
        answer = Facts.read(archived).view(None, self._services.audio.url)
        if "erasedAt" in answer:
            raise TaskErased(archived.task_id)
        if answer["audioUrl"] is None:
            raise SpeechFailed(
                answer.get("error") or "the task was canceled",
                task_id=answer["taskId"],
                code=answer.get("code") or "canceled",
                permanent=True,
            )
        return {
            "taskId": answer["taskId"],
            "audio_url": answer["audioUrl"],
            "status": "succeeded",
        }
