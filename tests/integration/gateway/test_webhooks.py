"""``POST /webhooks/replicate``: only what Replicate signed a moment ago is heeded."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.access import keys
from gateway.access.roles import Role
from gateway.services import Webhooks
from tests.integration.gateway.gateway_under_test import Running, running
from tts.ports.errors import Unavailable
from tts.replicate import webhook_secret
from tts.replicate.webhook_secret import AccountSecret, GivenSecret
from tts.sandbox import Sandbox, start_sandbox
from tts.sandbox.webhooks import signature
from tts.store.memory import LocalSignals

SECRET = "whsec_" + base64.b64encode(b"the account's own secret").decode()
ANOTHER = "whsec_" + base64.b64encode(b"somebody else's").decode()
PATH = "/webhooks/replicate"
TOKEN = {"Authorization": "Bearer any"}
BODY = {"id": "p1", "status": "succeeded", "output": "http://evil.example/out.wav"}


@dataclass
class SentSignals(LocalSignals):
    """Signals that remember what was sent, or cannot be sent."""

    words: list[str] = field(default_factory=list)
    away: bool = False

    async def send(self, word: str) -> None:
        """Remember it."""
        if self.away:
            raise Unavailable("PostgreSQL is away")
        self.words.append(word)


def sign(body: bytes, *, secret: str = SECRET, age: float = 0.0) -> dict[str, str]:
    """The headers of a webhook that was sent ``age`` seconds ago."""
    timestamp = str(int(time.time() - age))
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, "msg_1", timestamp, body),
    }


async def send(its: Running, body: Any = None, **changes: str) -> httpx.Response:
    """A genuine webhook, with ``changes`` to its headers (with _ for -)."""
    data = body if isinstance(body, bytes) else orjson.dumps(body or BODY)
    headers = sign(data) | {name.replace("_", "-"): text for name, text in changes.items()}
    return await its.client.post(PATH, content=data, headers=headers)


@pytest.fixture
async def signals() -> SentSignals:
    """What processors are told."""
    return SentSignals()


@pytest.fixture
async def its(tmp_path: Path, signals: SentSignals) -> AsyncIterator[Running]:
    """A gateway that takes webhooks."""
    webhooks = Webhooks(GivenSecret(SECRET), signals)
    async with running(tmp_path, webhooks=webhooks, request_max_bytes=100_000) as its:
        yield its


async def test_a_genuine_one_wakes_who_waits_for_the_prediction(its: Running, signals: SentSignals):
    """All that goes on is the prediction's id, and again when it comes again."""
    for _ in range(2):
        answer = await send(its)
        assert (answer.status_code, answer.json()["data"]) == (200, {"heeded": True})
    assert signals.words == ["p1", "p1"]


@pytest.mark.parametrize("age", [-290, 290])
async def test_a_clock_that_is_a_little_off_does_no_harm(
    its: Running, signals: SentSignals, age: int
):
    """Up to five minutes, either way."""
    data = orjson.dumps(BODY)
    answer = await its.client.post(PATH, content=data, headers=sign(data, age=age))
    assert (answer.status_code, signals.words) == (200, ["p1"])


async def test_one_good_signature_of_several_is_enough(its: Running, signals: SentSignals):
    """As while a secret is being changed, or when there are other kinds of signatures."""
    data = orjson.dumps(BODY)
    good = sign(data)
    shown = f"v1a,AAAA {sign(data, secret=ANOTHER)['webhook-signature']} "
    headers = good | {"webhook-signature": shown + good["webhook-signature"]}
    answer = await its.client.post(PATH, content=data, headers=headers)
    assert (answer.status_code, signals.words) == (200, ["p1"])


@pytest.mark.parametrize(("others", "status"), [(9, 200), (10, 401)])
async def test_no_more_than_ten_signatures_are_compared(its: Running, others: int, status: int):
    """Nobody makes us compare thousands."""
    data = orjson.dumps(BODY)
    good = sign(data)
    several = f"{'v1,AAAA ' * others}{good['webhook-signature']}"
    headers = good | {"webhook-signature": several}
    answer = await its.client.post(PATH, content=data, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("status", ["starting", "processing", "something new"])
async def test_what_is_not_over_is_taken_and_wakes_nobody(
    its: Running, signals: SentSignals, status: str
):
    """It may come after the final one."""
    answer = await send(its, BODY | {"status": status})
    assert (answer.status_code, answer.json()["data"]) == (200, {"heeded": False})
    assert signals.words == []


class TestForged:
    @pytest.mark.parametrize(
        "changes",
        [
            {"webhook_id": "msg_2"},
            {"webhook_id": ""},
            {"webhook_timestamp": ""},
            {"webhook_timestamp": "soon"},
            {"webhook_timestamp": "1" * 5000},
            {"webhook_signature": ""},
            {"webhook_signature": "v1,"},
            {"webhook_signature": "v1,AAAA"},
            {"webhook_signature": "v1,\u00fc"},
            {"webhook_signature": "v1,A"},
            {"webhook_signature": "v1"},
            {"webhook_signature": "v1,AAAA,AAAA"},
            {"webhook_id": "\u00fc"},
            {"webhook_signature": " ".join(["v1,AAAA"] * 500)},
        ],
        ids=lambda changes: str(changes)[:50],
    )
    async def test_headers(self, its: Running, signals: SentSignals, changes: dict[str, str]):
        """401, and nobody is told."""
        data = orjson.dumps(BODY)
        named = {name.replace("_", "-"): text for name, text in changes.items()}
        headers = httpx.Headers({**sign(data), **named}, encoding="latin-1")
        answer = await its.client.post(PATH, content=data, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
        assert signals.words == []

    @pytest.mark.parametrize("age", [-310, 301, 10**6])
    async def test_time(self, its: Running, signals: SentSignals, age: int):
        """What was signed long ago, or for later, may be sent by somebody who listened."""
        data = orjson.dumps(BODY)
        answer = await its.client.post(PATH, content=data, headers=sign(data, age=age))
        assert (answer.status_code, signals.words) == (401, [])

    async def test_another_timestamp(self, its: Running, signals: SentSignals):
        """An old webhook does not become a new one by saying so."""
        data = orjson.dumps(BODY)
        headers = sign(data, age=1000) | {"webhook-timestamp": str(int(time.time()))}
        answer = await its.client.post(PATH, content=data, headers=headers)
        assert (answer.status_code, signals.words) == (401, [])

    async def test_body_and_secret(self, its: Running, signals: SentSignals):
        """Another body, and another's secret."""
        data = orjson.dumps(BODY)
        for content, headers in (
            (data + b" ", sign(data)),
            (data, sign(data, secret=ANOTHER)),
            (b"\xff", sign(data)),
        ):
            answer = await its.client.post(PATH, content=content, headers=headers)
            assert (answer.status_code, signals.words) == (401, [])

    async def test_oversized(self, its: Running, signals: SentSignals):
        """The size is bounded whoever signed it."""
        answer = await send(its, BODY | {"logs": "x" * 200_000})
        assert (answer.status_code, signals.words) == (413, [])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"id": 1, "status": "succeeded"}', b'{"id": "a b", "status": "failed"}'],
)
async def test_signed_nonsense_is_refused(its: Running, signals: SentSignals, body: bytes):
    """With a sentence, and nobody is told."""
    answer = await send(its, body)
    assert (answer.status_code, signals.words) == (400, [])


async def test_no_key_is_needed_and_none_is_limited(tmp_path: Path, signals: SentSignals):
    """Replicate has no key of ours, and sends as many as there are predictions."""
    file = tmp_path / "keys.json"
    keys.add(file, owner="ann", role=Role.APP, expires=None)
    limits = {"rate_limit_per_key": 1, "rate_limit_per_address": 1}
    webhooks = Webhooks(GivenSecret(SECRET), signals)
    async with running(tmp_path, webhooks=webhooks, tts_api_keys_file=file, **limits) as its:
        assert {(await send(its)).status_code for _ in range(10)} == {200}


async def test_one_that_cannot_be_passed_on_is_to_be_repeated(its: Running, signals: SentSignals):
    """503 makes Replicate send it again."""
    signals.away = True
    answer = await send(its)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    signals.away = False
    assert (await send(its)).status_code == 200


class TestSecret:
    @pytest.fixture
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """Replicate."""
        sandbox = await start_sandbox()
        yield sandbox
        await sandbox.stop()

    async def test_is_asked_for_once(
        self,
        tmp_path: Path,
        signals: SentSignals,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
    ):
        """While Replicate is away the answer is 503; forged headers alone make nobody ask."""
        monkeypatch.setattr(webhook_secret, "PAUSE_SECONDS", 0.0)
        secret = AccountSecret(base_url=sandbox.url, token="any", timeout=5)  # noqa: S106
        async with (
            running(tmp_path, webhooks=Webhooks(secret, signals)) as its,
            httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as http,
        ):
            real = (await http.get("/v1/webhooks/default/secret", headers=TOKEN)).json()["key"]
            await http.delete("/sandbox/stats")
            rules = [{"route": "secret", "fault": "status", "args": {"status": 500}, "count": 1}]
            (await http.put("/sandbox/faults", json=rules)).raise_for_status()
            data = orjson.dumps(BODY)
            answers = [
                (await its.client.post(PATH, content=data, headers=headers)).status_code
                for headers in ({}, sign(data, age=1000), *[sign(data, secret=real)] * 5)
            ]
            assert answers == [401, 401, 503, 200, 200, 200, 200]
            calls = (await http.get("/sandbox/stats")).json()["calls"]
            assert calls["secret"] == 2
        await secret.aclose()

    async def test_that_is_old_serves_while_replicate_is_away(self, sandbox: Sandbox):
        """It is asked for again, in vain, and is good as far as anybody knows."""
        now = [0.0]
        secret = AccountSecret(
            base_url=sandbox.url,
            token="any",  # noqa: S106
            timeout=5,
            clock=lambda: now[0],
        )
        key = await secret.key()
        await sandbox.stop()
        now[0] += webhook_secret.FRESH_SECONDS + 1
        assert await secret.key() == key
        await secret.aclose()

    async def test_is_not_asked_for_all_the_time(self, sandbox: Sandbox):
        """After a failure comes a pause, in which the same is said again."""
        now = [0.0]
        secret = AccountSecret(
            base_url=sandbox.url,
            token="any",  # noqa: S106
            timeout=5,
            clock=lambda: now[0],
        )
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as http:
            rules = [{"route": "secret", "fault": "status", "args": {"status": 500}, "count": 1}]
            (await http.put("/sandbox/faults", json=rules)).raise_for_status()
            for _ in range(3):
                with pytest.raises(Unavailable, match="answered 500"):
                    await secret.key()
            assert (await http.get("/sandbox/stats")).json()["calls"]["secret"] == 1
        now[0] += webhook_secret.PAUSE_SECONDS
        assert await secret.key()
        await secret.aclose()
