"""What operators ask: ``/health``, ``/system``, ``/metrics``."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import Any, Literal

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from sanic import HTTPResponse, Request, Sanic

from gateway import endpoint
from gateway.access.roles import Need
from gateway.answers import HEADERS, Success
from gateway.endpoint import query_of
from gateway.models import HealthQuery, parse_query
from gateway.services import Services
from tts import wire
from tts.config import Settings
from tts.observability.health import examine
from tts.observability.overview import overview


def add_to(app: Sanic[Any, Any], services: Services) -> None:
    """Add the routes."""
    system = System(services)
    endpoint.add(app, "GET", "/health", system.health, need=Need.NOTHING)
    endpoint.add(app, "GET", "/system", system.system, need=Need.OPERATE)
    endpoint.add(app, "GET", "/metrics", system.metrics, need=Need.OPERATE)


class System:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._started = time.time()

    async def health(self, request: Request) -> HTTPResponse:
        """200 while every part that the gateway needs answers, else 503 that names the others.

        With ``deep``, of the whole service: every part of it, and what these need.
        """
        query = parse_query(HealthQuery, query_of(request))
        services = self._services
        service = self._service if query.deep else None
        status, answer = await examine(services.probes, services.notes, service)
        return HTTPResponse(orjson.dumps(answer), status, HEADERS, "application/json")

    async def _service(self) -> wire.Service:
        return overview(await self._services.roster.read()).service

    async def system(self, _request: Request) -> HTTPResponse:
        """What runs here and elsewhere, and how much of it. No settings: some are secrets."""
        hub = self._services.hub
        seen = overview(await self._services.roster.read())
        answer: wire.System = {
            "version": version("tts-backend"),
            "python": platform.python_version(),
            "uptimeSeconds": round(time.time() - self._started, 1),
            "deployment": _deployment(self._services.settings),
            "position": await self._services.log.position(),
            "streams": len(hub.streams) + len(hub.plain_streams),
            "gate": await self._services.upstream(),
            "parts": seen.parts,
            "queue": seen.queue,
            "troubles": seen.troubles,
        }
        return Success(answer)

    async def metrics(self, _request: Request) -> HTTPResponse:
        """Prometheus metrics of the process, or of all workers on its port."""
        body = await self._services.metrics()
        return HTTPResponse(body, headers=HEADERS, content_type=CONTENT_TYPE_LATEST)


def _deployment(settings: Settings) -> wire.Deployment:
    store: Literal["postgresql", "sqlite"]
    store = "postgresql" if settings.store_url.startswith("postgres") else "sqlite"
    queue: Literal["rabbitmq", "memory"]
    queue = "rabbitmq" if settings.rabbitmq_url.get_secret_value() else "memory"
    audio: Literal["s3", "folder"] = "s3" if settings.minio_endpoint else "folder"
    embedded = (store, queue, audio) == ("sqlite", "memory", "folder")
    return {
        "kind": "embedded" if embedded else "distributed",
        "store": store,
        "queue": queue,
        "audio": audio,
    }
