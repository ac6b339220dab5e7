"""What happens, in numbers: ``/api/stats``, its series, and ``/api/templates``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.answers import Success
from gateway.errors import InvalidRequest
from gateway.models import SeriesQuery, StatsQuery, TemplatesQuery, parse_query
from gateway.services import Services
from tts import wire
from tts.domain.values import Status

POINTS_MAX = 1500  # a day of minutes and a bit
LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
DEFAULTS = {"minute": timedelta(hours=1), "hour": timedelta(days=1), "day": timedelta(days=30)}


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes."""
    stats = Stats(services)
    endpoint.add(app, "GET", "/api/stats", stats.counts, need=Need.OPERATE)
    endpoint.add(app, "GET", "/api/stats/series", stats.series, need=Need.READ)
    endpoint.add(app, "GET", "/api/templates", stats.templates, need=Need.READ)


class Stats:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._freshness = services.freshness

    async def counts(self, request: Request) -> HTTPResponse:
        """How many tasks there are, everybody's, from the read model."""
        query = parse_query(StatsQuery, endpoint.query_of(request))
        model = self._services.tasks
        await self._freshness.reach(model, query.at_least)
        position = await model.position()  # before the counts, which may be newer, never older
        counts = await model.counts()
        answer: wire.Stats = {
            "tasks": {status.value: counts.get(status, 0) for status in Status},
            **await self._freshness.of(position),
        }
        return Success(answer)

    async def series(self, request: Request) -> HTTPResponse:
        """What happened in each minute, hour or day; an app's own, or anybody's."""
        query = parse_query(SeriesQuery, endpoint.query_of(request))
        until = query.until or self._services.application.now()
        since = query.since or _before(until, DEFAULTS[query.span])
        if (until - since) / LENGTHS[query.span] > POINTS_MAX:
            raise InvalidRequest(
                f"since: at most {POINTS_MAX} points of a {query.span} lie before until"
            )
        await self._freshness.reach(self._services.stats, query.at_least)
        series = await self._services.stats.series(
            span=query.span,
            since=_text(since),
            until=_text(until),
            owner=request.ctx.access.narrowed(query.owner),
            template_id=query.template_id,
        )
        answer: wire.StatsSeries = {
            "span": query.span,
            "since": _text(since),
            "until": _text(until),
            "points": cast("list[wire.SeriesPoint]", series.points),
            **await self._freshness.of(series.position),
        }
        return Success(answer)

    async def templates(self, request: Request) -> HTTPResponse:
        """Which templates are used, and what comes of it; an app's own use, or anybody's."""
        query = parse_query(TemplatesQuery, endpoint.query_of(request))
        await self._freshness.reach(self._services.templates, query.at_least)
        page = await self._services.templates.page(
            owner=request.ctx.access.narrowed(query.owner), cursor=query.cursor, limit=query.limit
        )
        answer: wire.TemplateList = {
            "templates": cast("list[wire.TemplateUse]", page.templates),
            "nextCursor": page.next_cursor,
            **await self._freshness.of(page.position),
        }
        return Success(answer)


def _before(instant: datetime, length: timedelta) -> datetime:
    """So long before, or the beginning of time."""
    try:
        return instant - length
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
