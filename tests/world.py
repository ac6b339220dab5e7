"""A whole service in one loop: real store, queue, adapters and audio; Replicate is the sandbox."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.waiting import SECONDS, until
from tts import bootstrap
from tts.application.tasks import Application
from tts.audio.folder import FolderAudio
from tts.bootstrap import Composition
from tts.config import Settings
from tts.domain import steps
from tts.domain.task import Task
from tts.domain.values import Status
from tts.gate.gate import Gate
from tts.gate.state import Limits
from tts.processor import polling, settlement
from tts.queue.memory import MemoryQueue
from tts.replicate.predictions import ReplicatePredictions
from tts.sandbox import Behaviour, api, control, delivery, start_sandbox
from tts.store.memory import MemoryDocuments
from tts.store.sqlite import SQLiteStore
from tts.templates import HttpTemplates
from tts.wire import UPDATES

VERSION = "0" * 64
TEXT = "你好。"
SEGMENT_MAX_CHARS = 80
# Seconds until a call is given up: many on a machine that is busy, few where the sandbox hangs.
PATIENCE, IMPATIENCE = 30.0, 1.0


class CrashingStore:
    """Dies before or after its nth append, as often as it is asked to append from then on."""

    def __init__(
        self, store: SQLiteStore, *, before: int | None = None, after: int | None = None
    ) -> None:
        self._store = store
        self._before = before
        self._after = after
        self.dead = asyncio.Event()
        self._asked = self._appended = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, events, payload=None):
        """Append, or die."""
        self._asked += 1
        if self._asked == self._before:
            await self._die()
        position = await self._store.append(events, payload)
        self._appended += 1
        if self._appended == self._after:
            await self._die()
        return position

    async def _die(self):
        self.dead.set()
        await asyncio.Event().wait()  # nothing that comes after it is ever done


class World:
    """Everything but the processors, which come and go.

    ``hanging`` are the routes of the sandbox that do not answer. ``ahead`` moves the clock of our
    processes on, and ``replicate_ahead``, in seconds, that of Replicate: what runs there ends so
    much sooner, and its outputs are removed.
    """

    def __init__(
        self, store, sandbox, folder: Path, *, hanging: Collection[str] = frozenset()
    ) -> None:
        def patience(*routes: str) -> float:
            return IMPATIENCE if set(routes) & set(hanging) else PATIENCE

        self.ahead = timedelta(0)
        self.replicate_ahead = 0.0
        self.store = store
        self.sandbox = sandbox
        self.settings = Settings(
            _env_file=None,
            data_dir=folder,
            replicate_base_url=sandbox.url,
            replicate_model_version=VERSION,
            replicate_poll_interval_ms=20,
            replicate_timeout_ms=1000,
            segment_max_chars=SEGMENT_MAX_CHARS,
            task_deadline_seconds=60,
            retry_max_attempts=3,
            retry_initial_interval_ms=100,
            retry_max_interval_ms=1000,
            retry_jitter="none",
        )
        self.audio = FolderAudio(folder / "audio", "http://audio")
        self.predictions = ReplicatePredictions(
            token="any",  # noqa: S106 -- the sandbox takes every one
            base_url=sandbox.url,
            model_version=VERSION,
            timeout=patience("create", "list", "get", "cancel"),
            max_bytes=10**7,
            download_timeout=patience("delivery"),
        )
        self.templates = HttpTemplates(
            sandbox.url,
            cache_seconds=60,
            timeout=patience("template_audio", "template_transcript"),
        )
        self.queue = MemoryQueue()
        self.documents = MemoryDocuments()
        self._http = httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=PATIENCE)

    async def close(self) -> None:
        """Let go of the resources."""
        await self.predictions.aclose()
        await self.templates.aclose()
        await self.audio.aclose()
        await self._http.aclose()

    def now(self) -> datetime:
        """What our processes take for the time."""
        return datetime.now(UTC) + self.ahead

    def replicate_now(self) -> float:
        """What Replicate takes for the time, in seconds since 1970."""
        return time.time() + self.replicate_ahead

    def change(self, **settings) -> None:
        """Change settings of the processes to come."""
        self.settings = self.settings.model_copy(update=settings)

    def process(self, **substitutes) -> Composition:
        """The parts of a process of its own."""
        shared = {
            "store": self.store,
            "queue": self.queue,
            "audio": self.audio,
            "predictions": self.predictions,
            "templates": self.templates,
            "documents": self.documents,
        }
        stack = contextlib.AsyncExitStack()  # it stays empty: who gives a part closes it
        return Composition(self.settings, stack, shared | substitutes, alone=False)

    @property
    def application(self) -> Application:
        """The use cases, as in a gateway."""
        return self.process().application

    @contextlib.asynccontextmanager
    async def working(
        self,
        store=None,
        worker="w1",
        grace_seconds=0.0,
        concurrency=8,
        gates: Sequence[Gate] = (),
        queue=None,
    ):
        """A relay and a processor, as a process that starts has them: with an empty queue.

        With ``gates`` there is a processor for each of them; the first one is yielded.
        """
        self.queue = queue or MemoryQueue()
        self.change(shutdown_seconds=grace_seconds, tts_concurrency=concurrency)
        processors = [
            self.process(store=store or self.store, worker=worker, gate=gate).processor()
            for gate in gates or [Gate(self.documents, Limits())]
        ]
        relay = self.process().relay()
        parts = [asyncio.create_task(part.run()) for part in (relay, *processors)]
        try:
            yield processors[0]
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def request(self, text=TEXT, template="template1", **more) -> Task:
        """A new task."""
        receipt, _ = await self.application.request(template_id=template, text=text, **more)
        task, _ = await self.application.load(receipt.id)
        return task

    async def speak(self, text=TEXT, template="template1") -> Task:
        """A new task when it is over, for which there is a relay and a processor."""
        async with self.working():
            return await self.ended(await self.request(text, template))

    async def crashed(self, text=TEXT, **crash: int) -> Task:
        """A new task whose worker has died ``before`` or ``after`` so many appends."""
        store = CrashingStore(self.store, **crash)
        async with self.working(store):
            task = await self.request(text)
            await until(store.dead.is_set, "the worker dies")
        return task

    async def taken_over(self, task: Task) -> Task:
        """The task when another worker has come to its end."""
        async with self.working(worker="w2"):
            return await self.ended(task)

    async def ended(self, task: Task, seconds: float = SECONDS) -> Task:
        """The task when it is over."""

        async def over():
            now, _ = await self.application.load(task.id)
            return now if now.final else None

        return await until(over, f"task {task.id} is over", seconds)

    async def reached(self, task: Task, status: Status) -> None:
        """Return when the task has had the status."""

        async def had():
            return status in await self.statuses(task)

        await until(had, f"task {task.id} is {status}")

    async def statuses(self, task: Task) -> list[str]:
        """Every status so far."""
        return [UPDATES[e.topic][0].value for e in await self.store.events(task.id)]

    async def creations(self) -> int:
        """How many predictions were paid for."""
        return (await self.stats())["creations"]["total"]

    async def stats(self) -> dict:
        """What the sandbox has counted."""
        return await self._sandbox("GET", "stats")

    async def created_at(self) -> list[float]:
        """When each prediction was made, in seconds since 1970, ascending."""
        times = [prediction["created_at"] for prediction in await self._predictions()]
        return sorted(datetime.fromisoformat(time).timestamp() for time in times)

    async def spoken(self) -> list[str]:
        """The texts of all predictions, sorted."""
        return sorted(prediction["input"]["tts_text"] for prediction in await self._predictions())

    async def behave(self, **settings) -> None:
        """Change the sandbox's settings."""
        await self._sandbox("PATCH", "settings", settings)

    async def running(self) -> list[str]:
        """The predictions that have not ended."""
        predictions = await self._predictions()
        return [p["id"] for p in predictions if p["status"] in {"starting", "processing"}]

    async def _predictions(self) -> list[dict]:
        page = await self._http.get("/v1/predictions", headers={"Authorization": "Bearer any"})
        return page.raise_for_status().json()["results"]

    async def fault(self, route: str, fault: str, **more) -> None:
        """Have the sandbox do something bad."""
        await self.inject({"route": route, "fault": fault, **more})

    async def inject(self, rule: dict[str, Any]) -> None:
        """Add a rule to the sandbox's faults."""
        await self._sandbox("POST", "faults", rule)

    async def crowd(self, predictions: int) -> None:
        """Have others create so many predictions now."""
        await self._sandbox("POST", "crowd", {"predictions": predictions})

    async def heal(self) -> None:
        """Have the sandbox do nothing bad any more."""
        await self._sandbox("DELETE", "faults")

    async def _sandbox(self, method, path, body=None):
        reply = await self._http.request(method, f"/sandbox/{path}", json=body)
        return reply.raise_for_status().json()


@contextlib.asynccontextmanager
async def open_world(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    speech: str = "tone",
    hanging: Collection[str] = frozenset(),
) -> AsyncIterator[World]:
    """A world whose every second is a fraction of one, in an empty folder."""
    for module in (steps, settlement):  # what is certain after seconds in production is so at once
        monkeypatch.setattr(module, "INTENT_FRESH", timedelta(seconds=0.5))
    monkeypatch.setattr(settlement, "LIST_LAG", timedelta(seconds=0.1))
    monkeypatch.setattr(settlement, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(polling, "FIRST_POLL_PAUSE_SECONDS", 0.05)
    behaviour = Behaviour(boot_seconds=0.05, predict_seconds=0.1, speech=speech)
    sandbox = await start_sandbox(behaviour=behaviour)
    store = SQLiteStore(folder / "tts.db")
    await store.open()
    world = World(store, sandbox, folder, hanging=hanging)
    monkeypatch.setattr(bootstrap, "utc_now", world.now)
    for module in (api, control, delivery):
        monkeypatch.setattr(module, "now", world.replicate_now)
    yield world
    await world.close()
    await store.aclose()
    await sandbox.stop()
