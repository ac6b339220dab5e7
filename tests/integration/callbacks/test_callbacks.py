"""Clients are told that their tasks are over: real log, real HTTP, the receiver's own library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.builders import application, brought, failed
from tests.services.scripted_http import Hang, Reply, Reset, ScriptedHttp
from tests.services.stores import Backend, Store
from tests.waiting import SECONDS, until
from tts.audio.folder import FolderAudio
from tts.bootstrap import callback_rows_of
from tts.callbacks import callbacks as module
from tts.callbacks import delivery, hosts, schedule
from tts.callbacks.callbacks import Callbacks
from tts.callbacks.delivery import Delivery
from tts.callbacks.hosts import AT_ONCE
from tts.domain.naming import callback_secret
from tts.domain.task import Task
from tts.domain.values import Status
from tts.http import callbacks as http
from tts.http.callbacks import CallbackReach, HttpCallbackSender
from tts.ports.callbacks import Callback, CallbackState
from tts.store.callbacks import CallbackRows

LOCAL = CallbackReach(frozenset({"127.0.0.1", "localhost"}))


@pytest.fixture(autouse=True)
def haste(monkeypatch):
    """What takes minutes in production takes a moment."""
    monkeypatch.setattr(schedule, "PAUSES", (0.05,))
    monkeypatch.setattr(hosts, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.05)
    # What hangs does so for longer than a test.
    monkeypatch.setattr(http, "ANSWER_SECONDS", 2 * SECONDS)
    monkeypatch.setattr(http, "CONNECT_SECONDS", SECONDS)


class Service:
    """A log, and what delivers its callbacks."""

    def __init__(self, store: Store, rows: CallbackRows, audio: FolderAudio) -> None:
        self.app = application(store, now=lambda: datetime.now(UTC))
        self.store = store
        self.rows = rows
        self.outcomes: list[str] = []
        self._audio = audio

    @contextlib.asynccontextmanager
    async def delivering(self, reach: CallbackReach = LOCAL) -> AsyncIterator[None]:
        """As a relay does it, until the context is left: not in an orderly way."""
        sender = HttpCallbackSender(reach)
        out = Delivery(
            self.app, self.rows, sender, audio_url=self._audio.url, observe=self._observe
        )
        running = asyncio.create_task(Callbacks(self.store, self.store, self.rows, out).run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await sender.aclose()

    def _observe(self, figures: delivery.CallbackFigures | None) -> None:
        if figures and figures.outcome:
            self.outcomes.append(figures.outcome)

    async def request(self, url: str | None, *, owner: str = "") -> Task:
        """A task whose end somebody wants to know."""
        task, _ = await self.app.request(
            template_id="t1", text="你好", owner=owner, callback_url=url
        )
        return task

    async def spoken(self, url: str | None, *, owner: str = "") -> Task:
        """One that has succeeded."""
        task = await self.request(url, owner=owner)
        return await brought(self.app, task.id, Status.SUCCEEDED)

    async def reached(self, task: Task, state: CallbackState) -> Callback:
        """Its callback, in that state."""

        async def there() -> Callback | None:
            callback = await self.rows.newest(task.id)
            return callback if callback and callback.state is state else None

        found: Callback = await until(there, f"the callback is {state}")
        return found


@pytest.fixture
async def service(backend: Backend, tmp_path) -> AsyncIterator[Service]:
    """On either database."""
    audio = FolderAudio(tmp_path / "audio", "http://audio.test")
    async with backend.store() as store:
        rows = callback_rows_of(store)
        yield Service(store, rows, audio)
        await rows.aclose()
    await audio.aclose()


@pytest.fixture
async def app() -> AsyncIterator[ScriptedHttp]:
    """Somebody's app."""
    async with ScriptedHttp() as server:
        server.on("POST /hook", Reply(204))
        yield server


async def test_an_app_is_told_of_each_end(service, app):
    """With what streams have, signed so that its library says yes."""
    hook = f"{app.url}/hook?app=7"
    async with service.delivering():
        good = await service.spoken(hook, owner="shop")
        bad = await service.request(hook, owner="shop")
        await failed(service.app, bad.id, "bad_input", "predict", permanent=True)
        gone = await service.request(hook, owner="shop")
        await service.app.cancel(gone.id, by="client", reason="no")
        await service.spoken(None)
        await until(lambda: len(app.requests) == 3, "three are told")
        for task in (good, bad, gone):
            await service.reached(task, CallbackState.DELIVERED)
    secret = callback_secret((await service.store.secret()).key, "shop")
    told = {}
    for request in app.requests:
        body = Webhook(secret).verify(request.body, dict(request.headers))
        assert request.headers["content-type"] == "application/json"
        told[body["data"]["taskId"]] = body
    assert told[str(good.id)]["type"] == "task.succeeded"
    assert told[str(good.id)]["data"]["audioUrl"].startswith("http://audio.test/")
    assert told[str(good.id)]["data"]["templateId"] == "t1"
    assert told[str(good.id)]["timestamp"] == told[str(good.id)]["data"]["timestamp"]
    assert told[str(bad.id)]["type"] == "task.failed"
    assert told[str(bad.id)]["data"]["code"] == "bad_input"
    assert told[str(gone.id)]["type"] == "task.canceled"
    other = callback_secret((await service.store.secret()).key, "other")
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(app.requests[0].body, dict(app.requests[0].headers))


async def test_an_app_that_fails_is_told_again(service, app):
    """Under the same id, until it takes it."""
    app.on(
        "POST /hook", Reply(500), Reset(), Reply(302, headers={"Location": "/other"}), Reply(200)
    )
    async with service.delivering():
        task = await service.spoken(f"{app.url}/hook")
        callback = await service.reached(task, CallbackState.DELIVERED)
    assert callback.attempts == 4
    assert len({request.headers["webhook-id"] for request in app.requests}) == 1
    assert {request.target for request in app.requests} == {"/hook"}
    assert service.outcomes == ["retried"] * 3 + ["delivered"]


async def test_what_happened_while_nobody_was_there_is_told(service, app):
    """A process that dies in the middle of an attempt leaves the rest to the next one."""
    hook = f"{app.url}/hook"
    app.on("POST /hook", Reply(500), Hang(), Reply(204))
    before = await service.spoken(hook)
    async with service.delivering():
        await until(lambda: len(app.requests) == 2, "another attempt is made")
    during = await service.spoken(hook)
    async with service.delivering():
        for task in (before, during):
            await service.reached(task, CallbackState.DELIVERED)
    async with service.delivering():
        after = await service.spoken(hook)
        await service.reached(after, CallbackState.DELIVERED)
    assert len(app.requests) == 5


async def test_an_app_that_hangs_holds_up_nobody_else(service, app):
    """However many are for it."""
    async with ScriptedHttp() as deaf, service.delivering():
        deaf.on("POST /hook", Hang())
        await asyncio.gather(*(service.spoken(f"{deaf.url}/hook") for _ in range(80)))
        await until(lambda: len(deaf.requests) == AT_ONCE, "so many are under way to it")
        task = await service.spoken(f"{app.url}/hook")
        await service.reached(task, CallbackState.DELIVERED)
        assert len(deaf.requests) == AT_ONCE


async def test_it_goes_nowhere_that_it_may_not(service, app):
    """A task whose address was fine once is not told at another one."""
    async with service.delivering(CallbackReach()):
        task = await service.spoken(f"https://127.0.0.1:{app.port}/hook")
        callback = await until(lambda: _attempted(service, task), "an attempt is made")
        assert callback.problem == "not sent: its address is not public"
    assert app.connections == 0


async def _attempted(service: Service, task: Task) -> Callback | None:
    callback = await service.rows.newest(task.id)
    return callback if callback and callback.attempts else None


async def test_what_is_erased_is_told_to_nobody(service, app, tmp_path):
    """Not even what was pending."""
    app.on("POST /hook", Reply(500))
    audio = FolderAudio(tmp_path / "erased", "http://audio.test")
    async with service.delivering():
        task = await service.spoken(f"{app.url}/hook")
        await until(lambda: app.requests, "an attempt is made")
        await service.app.erase(task.id, audio, by="client")

        async def is_gone() -> bool:
            return await service.rows.newest(task.id) is None

        await until(is_gone, "it is forgotten")
    await audio.aclose()


async def test_an_end_after_a_retry_is_told_as_well(service, app):
    """Each under its own id, with what it was."""
    hook = f"{app.url}/hook"
    async with service.delivering():
        task = await service.request(hook)
        await failed(service.app, task.id)
        await service.reached(task, CallbackState.DELIVERED)
        await service.app.retry(task.id, by="client", reason="")
        await brought(service.app, task.id, Status.SUCCEEDED)
        await until(lambda: len(app.requests) == 2, "both ends are told")
    assert [request.json["type"] for request in app.requests] == ["task.failed", "task.succeeded"]
    assert len({request.headers["webhook-id"] for request in app.requests}) == 2
