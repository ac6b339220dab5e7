"""The sandbox's webhooks, checked with Replicate's own validation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from tests.services.scripted_http import Reply, ScriptedHttp
from tests.waiting import until
from tts.sandbox import Behaviour, Sandbox, start_sandbox

VERSION = "669b1cd618f2747d2237350e868f5c313f3b548fc803ca4e57adfaba778b042d"
HOOK = "POST /hook"
TOKEN = {"authorization": "Bearer r8_test"}
LIVELY = Behaviour(boot_seconds=0.1, predict_seconds=0.1, webhook_retry_seconds=0.02)


class Receiver(ScriptedHttp):
    """Takes webhooks."""

    @property
    def seen(self) -> list[str]:
        """The statuses of the predictions that arrived."""
        return [request.json["status"] for request in self.requests]

    async def until(self, done: Callable[[list[str]], bool]) -> list[str]:
        """The statuses that arrived, once they satisfy ``done``."""
        await until(lambda: done(self.seen), "the webhooks arrive")
        return self.seen


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    async with Receiver() as receiver:
        receiver.on(HOOK, Reply())
        yield receiver


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A lively sandbox on a free port."""
    sandbox = await start_sandbox(behaviour=LIVELY)
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a token."""
    async with httpx.AsyncClient(base_url=sandbox.url, headers=TOKEN) as client:
        yield client


async def create(http: httpx.AsyncClient, receiver: Receiver, events: list[str] | None) -> str:
    """The id of a new prediction that reports to the receiver."""
    body = {
        "version": VERSION,
        "input": {
            "source_audio": "https://example.com/a.mp3",
            "source_transcript": "你好",
            "tts_text": "你好，世界。",
        },
        "webhook": f"{receiver.url}/hook",
    }
    if events is not None:
        body["webhook_events_filter"] = events
    reply = await http.post("/v1/predictions", json=body)
    return str(reply.raise_for_status().json()["id"])


async def settled(http: httpx.AsyncClient, result: str, times: int = 1) -> dict[str, int]:
    """The sandbox's own count of webhooks, once ``result`` is in it so often."""

    async def counts() -> dict[str, int] | None:
        webhooks = (await http.get("/sandbox/stats")).json()["webhooks"]
        return webhooks if webhooks.get(result, 0) >= times else None

    return dict(await until(counts, f"{times} webhooks are {result}"))


class TestDelivery:
    """What arrives, and when."""

    async def test_all_events(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """Every event that the filter names arrives, the start before the end."""
        await http.patch("/sandbox/settings", json={"predict_seconds": 1})
        await create(http, receiver, ["start", "output", "logs", "completed"])
        statuses = await receiver.until(lambda seen: len(seen) == 4)
        assert statuses == ["processing", "succeeded", "succeeded", "succeeded"]

    @pytest.mark.parametrize(("events", "count"), [(None, 2), (["completed"], 1)])
    async def test_filter(
        self, http: httpx.AsyncClient, receiver: Receiver, events: list[str] | None, count: int
    ) -> None:
        """Without a filter output and completed arrive, with one only what it names."""
        prediction = await create(http, receiver, events)
        await create(http, receiver, ["completed"])
        await receiver.until(lambda seen: len(seen) == count + 1)
        mine = [item for item in receiver.requests if item.json["id"] == prediction]
        assert len(mine) == count

    async def test_shows_what_get_shows(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The final body is the prediction as the API has it."""
        prediction = await create(http, receiver, ["completed"])
        await receiver.until(bool)
        body = (await http.get(f"/v1/predictions/{prediction}")).json()
        assert receiver.requests[0].json == body

    async def test_signature(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The real client's validation takes the signature, and not after a byte changed."""
        key = (await http.get("/v1/webhooks/default/secret")).json()["key"]
        await create(http, receiver, ["completed"])
        await receiver.until(bool)
        got = receiver.requests[0]
        secret = WebhookSigningSecret(key=key)
        headers = dict(got.headers)
        Webhooks.validate(headers=headers, body=got.body.decode(), secret=secret, tolerance=60)
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(headers=headers, body=got.body.decode() + " ", secret=secret)

    async def test_final_event_is_tried_again(
        self, http: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        """A refused or redirected final webhook comes again under the same id until it is taken."""
        moved = Reply(302, headers={"Location": "/elsewhere"})
        receiver.on(HOOK, Reply(500), moved, Reply(404), Reply())
        await create(http, receiver, ["completed"])
        await settled(http, "delivered")
        assert len(receiver.requests) == 4
        assert len({item.headers["webhook-id"] for item in receiver.requests}) == 1

    async def test_gives_up(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The final webhook is tried seven times, an earlier one once."""
        receiver.on(HOOK, Reply(500))
        await http.patch("/sandbox/settings", json={"webhook_retry_seconds": 0.001})
        await create(http, receiver, ["start", "completed"])
        await receiver.until(lambda seen: seen.count("succeeded") == 7)
        await settled(http, "given_up", times=2)
        assert receiver.seen.count("processing") == 1

    async def test_cancel_reports_at_once(
        self, http: httpx.AsyncClient, receiver: Receiver
    ) -> None:
        """A cancellation brings its final webhook now, and the planned one never comes."""
        await http.patch("/sandbox/settings", json={"predict_seconds": 2})
        prediction = await create(http, receiver, ["completed"])
        await http.post(f"/v1/predictions/{prediction}/cancel")
        await receiver.until(bool)
        await create(http, receiver, ["completed"])
        assert await receiver.until(lambda seen: len(seen) == 2) == ["canceled", "succeeded"]


class TestFaults:
    """What can be made to go wrong with webhooks."""

    async def inject(self, http: httpx.AsyncClient, fault: str) -> None:
        """Let every webhook go wrong."""
        rules = [{"route": "webhook", "fault": fault}]
        (await http.put("/sandbox/faults", json=rules)).raise_for_status()

    async def test_duplicated(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The same webhook arrives twice."""
        await self.inject(http, "duplicated")
        await create(http, receiver, ["completed"])
        await receiver.until(lambda seen: len(seen) == 2)
        assert receiver.requests[0].body == receiver.requests[1].body

    async def test_out_of_order(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """A body that says processing arrives after the final one."""
        await self.inject(http, "out_of_order")
        await create(http, receiver, ["start", "completed"])
        assert await receiver.until(lambda seen: len(seen) == 2) == ["succeeded", "processing"]

    async def test_badly_signed(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The real client's validation refuses the signature."""
        await self.inject(http, "badly_signed")
        key = (await http.get("/v1/webhooks/default/secret")).json()["key"]
        await create(http, receiver, ["completed"])
        await receiver.until(bool)
        got = receiver.requests[0]
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(
                headers=dict(got.headers),
                body=got.body.decode(),
                secret=WebhookSigningSecret(key=key),
            )

    async def test_never(self, http: httpx.AsyncClient, receiver: Receiver) -> None:
        """The webhook of one prediction never comes, that of a later one does."""
        await self.inject(http, "never")
        silent = await create(http, receiver, ["start", "completed"])
        await http.delete("/sandbox/faults")
        await create(http, receiver, ["completed"])
        await receiver.until(bool)
        assert silent not in {item.json["id"] for item in receiver.requests}
