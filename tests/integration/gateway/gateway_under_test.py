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
from projections.dead_letters import DeadLetterQueries
from projections.tasks import TaskQueries
from tests.services.ports import free_port
from tts.application.tasks import Application
from tts.audio.folder import FolderAudio
from tts.config import Settings
from tts.domain.task import Task
from tts.domain.values import GiveUp, TaskError
from tts.gate.gate import Gate as UpstreamGate
from tts.gate.state import Limits
from tts.observability.health import Probe
from tts.ports.log import Log
from tts.store.memory import MemoryDocuments
from tts.store.sqlite import SQLiteStore

PATIENCE_SECONDS = 20.0
BODY = {"templateId": "template1", "tts_text": "你好，世界", "instruction": "开心地"}


@dataclass
class Running:
    """The gateway, what it stands on, and a client."""

    gateway: Gateway
    settings: Settings
    store: SQLiteStore
    application: Application
    audio: FolderAudio
    client: httpx.AsyncClient

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
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self._events)

    async def of(self, kind: str) -> ServerSentEvent:
        """The next event of that kind."""
        while (event := await self.next()).event != kind:
            pass
        return event

    async def updates(self, count: int) -> list[dict[str, Any]]:
        """The data of the next ``count`` task_updates, whose ids are their positions."""
        found = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found) < count:
                event = await self.of("task_update")
                assert event.id == str(event.json()["position"])
                found.append(event.json())
        return found

    async def rest(self) -> list[ServerSentEvent]:
        """Everything up to the end of the stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [event async for event in self._events]


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    log: Callable[[SQLiteStore], Log] = lambda store: store,
    probes: Mapping[str, Probe] | None = None,
    webhooks: Webhooks | None = None,
    **changes: Any,
) -> AsyncIterator[Running]:
    """Serve while the context is open; ``changes`` are settings."""
    defaults = {"data_dir": folder, "port": free_port(), "host": "127.0.0.1"}
    settings = Settings(_env_file=None, **(defaults | changes))  # type: ignore[call-arg]
    store = SQLiteStore(folder / "tts.db")
    await store.open()
    application = Application(store, max_attempts=3, deadline_seconds=600)
    audio = FolderAudio(folder / "audio", settings.gateway_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.aclose)
        database = await stack.enter_async_context(open_database(settings.store_url))
        gateway = Gateway(
            settings=settings,
            application=application,
            log=log(store),
            audio=audio,
            tasks=TaskQueries(database),
            dead_letters=DeadLetterQueries(database),
            upstream=UpstreamGate(MemoryDocuments(), Limits()).state,
            probes=probes if probes is not None else {"store": store.ready},
            webhooks=webhooks,
        )
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE_SECONDS, limits=limits)
        await stack.enter_async_context(client)
        yield Running(gateway, settings, store, application, audio, client)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError as error:
        raise AssertionError(f"never: {what}") from error


# --- what a processor would append


def _speak(task: Task) -> None:
    now = datetime.now(UTC)
    lease = task.claim(worker="w1", now=now)
    task.start_processing(
        lease=lease,
        transcript_hash="h",
        audio_url="http://template/audio",
        audio_etag=None,
        segments=[0],
        now=now,
    )
    task.record_prediction(
        lease=lease, segment=0, prediction_id="p1", model_version="v1", found=False, now=now
    )
    task.start_download(
        lease=lease, segment=0, predict_time=1.5, output_url="http://out/1", now=now
    )
    task.complete_download(lease=lease, segment=0, size=8, sha256="00", duration=2.5, now=now)
    task.succeed(lease=lease, object_key=f"audio-{task.id}.wav", size=8, duration=2.5, now=now)


async def speak(application: Application, task_id: UUID) -> None:
    """Append everything from Queued to Succeeded."""
    await application.change(task_id, _speak)


async def fail(application: Application, task_id: UUID, *, permanent: bool) -> None:
    """Append a claim and a failure."""

    def command(task: Task) -> None:
        now = datetime.now(UTC)
        error = TaskError("template_missing", "template", "the template is not there")
        task.fail(task.claim(worker="w1", now=now), GiveUp(error, permanent), now=now)

    await application.change(task_id, command)


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
