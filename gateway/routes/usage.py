"""``GET /api/usage``: what owners take, and how much they may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Access, Need, Quota
from gateway.answers import Success
from gateway.models import UsageQuery, parse_query
from gateway.quotas import day_of, next_day
from gateway.services import Services
from tts import wire


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the route."""
    endpoint.add(app, "GET", "/api/usage", Usage(services).usage, need=Need.READ)


class Usage:
    """The handler."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def usage(self, request: Request) -> HTTPResponse:
        """An app's own usage; of everybody, or of one owner, for those who see everybody's."""
        query = parse_query(UsageQuery, endpoint.query_of(request))
        access, now = request.ctx.access, self._services.application.now()
        await self._services.freshness.reach(self._services.usage, query.at_least)
        page = await self._services.usage.page(
            owner=access.narrowed(query.owner),
            since=day_of(now - timedelta(days=query.days - 1)),
            cursor=query.cursor,
            limit=query.limit,
        )
        today = day_of(now)
        answer: wire.Usage = {
            "today": today,
            "resetsAt": next_day(now).isoformat(),
            "owners": [self._owner(owner, access, today) for owner in page.owners],
            "nextCursor": page.next_cursor,
            **await self._services.freshness.of(page.position),
        }
        return Success(answer)

    def _owner(self, usage: dict[str, Any], access: Access, today: str) -> wire.OwnerUsage:
        for day in usage["days"]:
            day["cost"] = self._cost(day["predictSeconds"])
        days = usage["days"]
        quota = self._quota(usage["owner"], access)
        return {
            "owner": usage["owner"],
            "unfinished": usage["unfinished"],
            "charactersToday": sum(day["characters"] for day in days if day["day"] == today),
            "limits": {
                "maxTasks": quota.max_tasks or None,
                "charactersPerDay": quota.characters_per_day or None,
            },
            "days": days,
        }

    def _cost(self, predict_seconds: float) -> float | None:
        price = self._services.settings.replicate_price_per_second
        return round(price * predict_seconds, 6) if price else None

    def _quota(self, owner: str, access: Access) -> Quota:
        """That of the key which asks for its own usage; else the widest of the owner's keys."""
        if access.scope is not None:
            return self._services.quotas.of(access.quota)
        keys = self._services.admission.keys
        return self._services.quotas.widest(keys.quotas_of(owner) if keys else [])
