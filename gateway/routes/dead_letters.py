"""What could not be spoken: ``/api/dead-letters``, to list, inspect, redrive and dismiss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.admission import report_command
from gateway.access.roles import Access, Need
from gateway.answers import Success
from gateway.models import (
    DeadLetterFilter,
    DeadLetterQuery,
    DismissRequest,
    RedriveRequest,
    parse_body,
    parse_query,
)
from gateway.services import Services
from gateway.tasks import task_id_of
from tts.application.bulk_answer import bulk_answer
from tts.application.dead_letters import Bulk, DeadLetters, Outcome, Selection
from tts.wire import DeadLetterList, DismissedAnswer, Redriven

PATH = "/api/dead-letters"


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes."""
    letters = Routes(services)
    endpoint.add(app, "GET", PATH, letters.list, need=Need.READ)
    endpoint.add(app, "GET", f"{PATH}/<task_id:str>", letters.inspect, need=Need.READ)
    endpoint.add(app, "POST", f"{PATH}/redrive", letters.redrive, need=Need.COMMAND)
    endpoint.add(app, "POST", f"{PATH}/dismiss", letters.dismiss, need=Need.COMMAND)


class Routes:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._letters = DeadLetters(services.application, services.dead_letters)

    async def list(self, request: Request) -> HTTPResponse:
        """The owner's dead letters, those that failed last first, and how many of each code."""
        query = parse_query(DeadLetterQuery, endpoint.query_of(request))
        selection = _selection(query, request.ctx.access)
        model = self._services.dead_letters
        await self._services.freshness.reach(model, query.at_least)
        position = await model.position()  # before the page, which may be newer, never older
        page = await self._letters.page(selection, cursor=query.cursor, limit=query.limit)
        answer: DeadLetterList = {**page, **await self._services.freshness.of(position)}
        return Success(answer)

    async def inspect(self, request: Request, task_id: str) -> HTTPResponse:
        """One failed task, and all that is known of it."""
        answer = await self._letters.inspect(
            task_id_of(task_id), self._services.audio.url, request.ctx.access.scope
        )
        return Success(answer)

    async def redrive(self, request: Request) -> HTTPResponse:
        """Give the chosen ones another round, as many as a request has time for."""
        order = parse_body(RedriveRequest, endpoint.json_of(request))
        most = self._services.settings.redrive_per_second
        bulk = await self._within_quota(_bulk(order, request.ctx.access), request.ctx.access)
        outcome = await self._letters.redrive(bulk, per_second=min(order.per_second or most, most))
        _report(request.ctx.access, "redrive", outcome, order)
        answer: Redriven = {
            **bulk_answer(outcome, dry_run=order.dry_run),
            "redriven": len(outcome.done),
        }
        return Success(answer)

    async def dismiss(self, request: Request) -> HTTPResponse:
        """Take the chosen ones off the list, as many as a request has time for."""
        order = parse_body(DismissRequest, endpoint.json_of(request))
        outcome = await self._letters.dismiss(_bulk(order, request.ctx.access))
        _report(request.ctx.access, "dismiss", outcome, order)
        answer: DismissedAnswer = {
            **bulk_answer(outcome, dry_run=order.dry_run),
            "dismissed": len(outcome.done),
        }
        return Success(answer)

    async def _within_quota(self, bulk: Bulk, access: Access) -> Bulk:
        """No more of an app's tasks than may go on; the rest remains for another request.

        Raises:
            TooManyTasks: not a single one.
        """
        if access.scope is None or bulk.dry_run:
            return bulk
        room = await self._services.quotas.room(access)
        if room is None:
            return bulk
        return replace(bulk, limit=min(bulk.limit or room, room))


def _report(access: Access, command: str, outcome: Outcome, order: DismissRequest) -> None:
    if outcome.done and not order.dry_run:
        report_command(access, command, f"{len(outcome.done)} tasks: {order.reason}")


def _selection(choice: DeadLetterFilter, access: Access) -> Selection:
    return Selection(
        owner=access.narrowed(choice.owner),
        code=choice.code,
        step=choice.step,
        template_id=choice.template_id,
        since=choice.since,
        until=choice.until,
        permanent=choice.permanent,
    )


def _bulk(order: DismissRequest, access: Access) -> Bulk:
    return Bulk(
        by=access.owner or "client",
        reason=order.reason,
        tasks=_tasks(order.task_ids) if order.task_ids is not None else None,
        selection=_selection(order.filter or DeadLetterFilter(), access),
        scope=access.scope,
        cursor=order.cursor,
        limit=order.limit,
        dry_run=order.dry_run,
    )


def _tasks(names: Iterable[str]) -> list[UUID]:
    return [task_id_of(name) for name in names]
