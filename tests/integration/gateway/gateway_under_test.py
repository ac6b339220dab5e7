"""A gateway on a free port over a SQLite store, and what drives its tasks without a processor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from gateway.app import Gateway
from gateway.services import Webhooks
from projections.database import open_database
from projections.ports import Database, Projection
from tests.builders import brought, failed
from tests.read_models import project, projecting
from tests.services.ports import free_port
from tests.services.stores import Backend
from tests.waiting import SECONDS, until
from tts.application.tasks import Application
from tts.audio.folder import FolderAudio
from tts.bootstrap import compose, roster_of
from tts.cli.gateway import compose_gateway
from tts.config import Settings
from tts.domain.task import Task
from tts.domain.values import Status
from tts.observability.health import Probe
from tts.observability.overview import PARTS, overview
from tts.observability.presence import Presence
from tts.ports.callbacks import CallbackTable
from tts.ports.roster import Roster
from tts.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = {"templateId": "template1", "tts_text": "你好，世界", "instruction": "开心地"}


class Clock:
    """The time of the gateways, which a test sets."""

    now = NOON


@dataclass
class Running:
    """The gateway, what it stands on, and a client."""

    gateway: Gateway
    settings: Settings
    store: SQLiteStore
    application: Application
    audio: FolderAudio
    client: httpx.AsyncClient
    callback_table: CallbackTable
    database: Database

    async def project(self, *projections: Projection) -> None:
        """Bring the read models, all if none is named, to the end of the log."""
        await project(self.store, self.database, *projections)

    async def post(self, **changes: Any) -> UUID:
        """Ask for speech and return the task's id."""
        answer = await self.client.post("/api/tts", json=BODY | changes)
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["data"]["taskId"])

    async def ask(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer to a GET; of a stream, which has no end, the head alone."""
        async with self.client.stream("GET", url, headers=headers or {}) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                await answer.aread()
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self, query: str = "", headers: dict[str, str] | None = None
    ) -> AsyncIterator[Reader]:
        """An open stream, read by a client that nobody here wrote."""
        url = f"/events{'?' + query if query else ''}"
        async with aconnect_sse(self.client, "GET", url, headers=headers or {}) as source:
            assert source.response.status_code == 200, await source.response.aread()
            yield Reader(source)


class Reader:
    """Takes events from a stream, each within a deadline."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self._events = source.aiter_sse()

    async def next(self) -> ServerSentEvent:
        """The next event of any kind."""
        async with asyncio.timeout(SECONDS):
            return await anext(self._events)

    async def of(self, kind: str) -> ServerSentEvent:
        """The next event of that kind."""
        while (event := await self.next()).event != kind:
            pass
        return event

    async def updates(self, count: int) -> list[dict[str, Any]]:
        """The data of the next ``count`` task_updates, whose ids are their positions."""
        found = []
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                event = await self.of("task_update")
                assert event.id == str(event.json()["position"])
                found.append(event.json())
        return found

    async def rest(self) -> list[ServerSentEvent]:
        """Everything up to the end of the stream."""
        async with asyncio.timeout(SECONDS):
            return [event async for event in self._events]


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    log: Callable[[SQLiteStore], Any] = lambda store: store,
    probes: Mapping[str, Probe] | None = None,
    webhooks: Webhooks | None = None,
    projected: bool = False,
    **changes: Any,
) -> AsyncIterator[Running]:
    """Serve while the context is open; ``changes`` are settings.

    If ``projected``, the read models follow the log.
    """
    defaults = {
        "data_dir": folder,
        "host": "127.0.0.1",
        "port": free_port(),
        "retry_max_attempts": 3,
        "task_deadline_seconds": 600,
    }
    settings = Settings(_env_file=None, **(defaults | changes))  # type: ignore[call-arg]
    given = (
        {} if webhooks is None else {"signals": webhooks.signals, "webhook_secret": webhooks.secret}
    )
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(Backend(settings.store_url).store())
        parts = await stack.enter_async_context(compose(settings, store=log(store), **given))
        database = await stack.enter_async_context(open_database(settings.store_url))
        if projected:
            await stack.enter_async_context(projecting(store, database))
        gateway = compose_gateway(parts, database, probes or {"store": store.ready})
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=gateway.url, timeout=SECONDS, limits=limits)
        await stack.enter_async_context(client)
        yield Running(
            gateway,
            settings,
            store,
            parts.application,
            parts.audio,
            client,
            parts.callback_table,
            database,
        )


@contextlib.asynccontextmanager
async def all_at_work(its: Running) -> AsyncIterator[None]:
    """Every part tells of itself while the context is open, as if it were there."""

    async def tell() -> Mapping[str, Any]:
        return {"role": "leading"}

    roster = roster_of(its.store)
    presence = Presence(roster, "elsewhere", {}, dict.fromkeys(PARTS, tell))
    async with presence.entry():
        await until(lambda: _is_well(roster), "all parts are there")
        yield
    await roster.aclose()


async def _is_well(roster: Roster) -> bool:
    return not overview(await roster.read()).troubles


# --- what a processor would append


async def speak(application: Application, task_id: UUID) -> None:
    """Append everything from Queued to Succeeded."""
    await brought(application, task_id, Status.SUCCEEDED)


async def fail(application: Application, task_id: UUID, *, permanent: bool) -> None:
    """Append a claim and a failure."""
    message = "the template is not there"
    await failed(
        application, task_id, "template_missing", "template", message=message, permanent=permanent
    )


def _claim(task: Task) -> None:
    task.claim(worker="w1", now=datetime.now(UTC))


async def claim_again(application: Application, task_id: UUID, times: int) -> None:
    """Append one claim after the other, each in a commit of its own."""
    for _ in range(times):
        await application.change(task_id, _claim)


async def accept(application: Application, count: int) -> None:
    """Accept that many requests at once."""
    await asyncio.gather(
        *(application.request(template_id="t", text="x") for _ in range(count)),
    )
