"""No owner takes more than its quota, whatever is restarted, behind or made anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.access import keys
from gateway.access.roles import Quota, Role
from projections.usage import UsageProjection
from tests.builders import brought
from tests.integration.gateway.gateway_under_test import (
    BODY,
    NOON,
    Clock,
    Running,
    fail,
    running,
    speak,
)
from tests.integration.gateway.socket_client import client_of
from tests.waiting import until
from tts.domain.values import Status
from tts.ports.errors import Unavailable

pytestmark = pytest.mark.usefixtures("clock")  # where no day ends by itself
TEXT = BODY["tts_text"]
CHARACTERS = len(TEXT)


async def ask(its: Running, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    return await its.client.post("/api/tts", json=BODY | changes, headers=headers or {})


def refused(answer: httpx.Response, code: str) -> bool:
    return (answer.status_code, answer.json().get("code")) == (429, code)


async def accepted(its: Running, **more: Any) -> bool:
    return (await ask(its, **more)).status_code == HTTPStatus.ACCEPTED


async def project_usage(its: Running) -> None:
    """Bring the read model of usage to the end of the log, and leave it there."""
    await its.project(UsageProjection())


def key(file: Path, owner: str, role: Role = Role.APP, **quota: int) -> dict[str, str]:
    """The headers of a new key."""
    _, text = keys.add(file, owner=owner, role=role, expires=None, quota=Quota(**quota))
    return {"Authorization": f"Bearer {text}"}


class TestCharacters:
    async def test_are_exhausted_until_midnight(self, tmp_path: Path, clock: Clock):
        """The answer says when to come back; nothing is recorded; a shorter text still fits."""
        async with running(tmp_path, owner_characters_per_day=2 * CHARACTERS + 1) as its:
            assert await accepted(its)
            assert await accepted(its)
            position = await its.store.position()
            answer = await ask(its)
            assert refused(answer, "characters_exhausted")
            assert answer.headers["retry-after"] == str(12 * 3600)
            assert "2026-03-02T00:00:00+00:00" in answer.json()["error"]
            assert await its.store.position() == position
            assert await accepted(its, tts_text="好")
            assert refused(await ask(its, tts_text="好"), "characters_exhausted")
            clock.now = NOON + timedelta(hours=12)
            assert await accepted(its)

    async def test_that_nobody_was_answered_for_cost_nothing(self, tmp_path: Path):
        """A request that is refused for another reason gives back what it took."""
        async with running(tmp_path, owner_characters_per_day=2 * CHARACTERS) as its:
            header = {"Idempotency-Key": "k"}
            assert await accepted(its, headers=header)
            for _ in range(3):
                other = await ask(its, header, tts_text="别的话")
                assert other.json()["code"] == "idempotency_key_reused"
            assert await accepted(its)
            assert refused(await ask(its), "characters_exhausted")

    async def test_are_not_spent_by_a_repetition(self, tmp_path: Path):
        """The same key gets the same task, be it the last that fits or far beyond."""
        async with running(tmp_path, owner_characters_per_day=2 * CHARACTERS) as its:
            first = await ask(its, {"Idempotency-Key": "k"})
            task_id = UUID(first.json()["data"]["taskId"])
            for status in (None, Status.DEQUEUED):
                if status is not None:
                    await brought(its.application, task_id, status)
                for _ in range(3):
                    again = await ask(its, {"Idempotency-Key": "k"})
                    assert again.json()["data"]["taskId"] == str(task_id)
            assert await accepted(its)
            await speak(its.application, task_id)
            for _ in range(3):
                again = await ask(its, {"Idempotency-Key": "k"})
                assert again.json()["data"]["taskId"] == str(task_id)
            assert refused(await ask(its, {"Idempotency-Key": "new"}), "characters_exhausted")

    async def test_are_not_spent_by_a_retry(self, tmp_path: Path):
        """What was paid for in characters once can be tried again."""
        async with running(tmp_path, owner_characters_per_day=CHARACTERS) as its:
            task_id = await its.post()
            await fail(its.application, task_id, permanent=False)
            answer = await its.client.post("/api/tts/retry", json={"taskId": str(task_id)})
            assert answer.status_code == HTTPStatus.ACCEPTED
            assert refused(await ask(its), "characters_exhausted")

    async def test_stay_spent_when_a_task_is_erased(self, tmp_path: Path):
        """Else who erases at once could send any amount."""
        async with running(tmp_path, owner_characters_per_day=CHARACTERS) as its:
            task_id = await its.post()
            await speak(its.application, task_id)
            erasure = await its.client.delete(f"/api/tts/task/{task_id}")
            assert erasure.status_code == HTTPStatus.OK
            assert refused(await ask(its), "characters_exhausted")


class TestTasks:
    async def test_that_are_over_make_room(self, tmp_path: Path):
        """However they end."""
        async with running(tmp_path, owner_max_tasks=3) as its:
            spoken, failed, canceled = [await its.post() for _ in range(3)]
            answer = await ask(its)
            assert refused(answer, "too_many_tasks")
            assert int(answer.headers["retry-after"]) >= 1
            await speak(its.application, spoken)
            await fail(its.application, failed, permanent=True)
            await its.application.cancel(canceled, by="a", reason="b")
            for _ in range(3):
                await until(lambda: accepted(its), "there is room")
            assert refused(await ask(its), "too_many_tasks")

    async def test_that_come_at_once_are_not_one_too_many(self, tmp_path: Path):
        """What is under way counts, long before the log tells of it."""
        async with running(tmp_path, owner_max_tasks=5) as its:
            answers = await asyncio.gather(*(ask(its) for _ in range(40)))
            codes = sorted(answer.status_code for answer in answers)
            assert codes == [202] * 5 + [429] * 35
            assert await its.store.position() == 5

    async def test_are_refused_over_a_websocket_alike(self, tmp_path: Path):
        """By the same code."""
        async with running(tmp_path, owner_max_tasks=1) as its, client_of(its) as client:
            assert (await client.ask("generate", **BODY))["type"] == "ack"
            refusal = await client.ask("generate", **BODY)
            assert (refusal["type"], refusal["code"]) == ("error", "too_many_tasks")

    async def test_that_are_retried_go_on_again(self, tmp_path: Path):
        """So a retry is refused where a new task would be, and counts as one."""
        async with running(tmp_path, owner_max_tasks=1) as its:
            failed = await its.post()
            await fail(its.application, failed, permanent=False)
            await until(lambda: accepted(its), "there is room")
            retry = {"taskId": str(failed)}
            assert refused(await its.client.post("/api/tts/retry", json=retry), "too_many_tasks")
            (other,) = [
                task
                for event in await its.store.read(0, 100)
                if (task := event.task_id) != failed and event.version == 1
            ]
            await speak(its.application, other)

            async def retried() -> bool:
                answer = await its.client.post("/api/tts/retry", json=retry)
                return answer.status_code == HTTPStatus.ACCEPTED

            await until(retried, "there is room")
            assert refused(await ask(its), "too_many_tasks")

    async def test_are_redriven_as_far_as_there_is_room(self, tmp_path: Path):
        """An app cannot fill the queue with what has failed; the rest remains for later."""
        file = tmp_path / "keys.json"
        shop = key(file, "shop", max_tasks=2)
        async with running(tmp_path, tts_api_keys_file=file) as its:
            failed = []
            for _ in range(4):
                task, _ = await its.application.request(template_id="t", text="x", owner="shop")
                await fail(its.application, task.id, permanent=False)
                failed.append(str(task.id))
            order = {"taskIds": failed, "reason": "again"}
            path = "/api/dead-letters/redrive"
            answer = await its.client.post(path, json=order, headers=shop)
            assert answer.status_code == HTTPStatus.OK
            assert answer.json()["data"]["redriven"] == 2
            assert answer.json()["data"]["remaining"] == 2

            async def is_full() -> bool:
                return refused(
                    await its.client.post(path, json=order, headers=shop), "too_many_tasks"
                )

            await until(is_full, "the redriven ones are counted")


class TestOwners:
    async def test_share_nothing(self, tmp_path: Path):
        """One that has filled its quota is in nobody's way; a key's own quota goes first."""
        file = tmp_path / "keys.json"
        shop = key(file, "shop")
        tight = key(file, "bakery", characters_per_day=CHARACTERS)
        free = key(file, "bakery", characters_per_day=0)
        settings = {"tts_api_keys_file": file, "owner_characters_per_day": 2 * CHARACTERS}
        async with running(tmp_path, **settings) as its:
            assert [await accepted(its, headers=shop) for _ in range(3)] == [True, True, False]
            assert [await accepted(its, headers=tight) for _ in range(2)] == [True, False]
            # What another key of the owner takes is the owner's all the same.
            assert [await accepted(its, headers=free) for _ in range(3)] == [True, True, True]
            assert refused(await ask(its, tight), "characters_exhausted")

    async def test_are_counted_across_gateways(self, tmp_path: Path):
        """What one gateway accepted, another has seen a moment later."""
        async with running(tmp_path, owner_max_tasks=3) as one:
            assert await accepted(one)
            async with running(tmp_path, owner_max_tasks=3) as other:
                assert await accepted(other)
                assert await accepted(one)

                async def is_full() -> bool:
                    # It takes a place and gives it back: there is no such task.
                    retry = {"taskId": str(UUID(int=1))}
                    answer = await other.client.post("/api/tts/retry", json=retry)
                    return refused(answer, "too_many_tasks")

                await until(is_full, "the other gateway has seen it")


class TestReadModel:
    @pytest.mark.parametrize("projected", [True, False], ids=["behind", "never made"])
    async def test_a_restart_gives_nobody_more(self, tmp_path: Path, *, projected: bool):
        """Right after it, wherever the read model has come to by then."""
        quota = {"owner_characters_per_day": 3 * CHARACTERS, "owner_max_tasks": 100}
        async with running(tmp_path, **quota) as its:
            assert await accepted(its)
            if projected:
                await project_usage(its)
            assert await accepted(its)
            assert await accepted(its)
        async with running(tmp_path, **quota) as its:
            assert refused(await ask(its), "characters_exhausted")

    async def test_unfinished_tasks_outlive_a_restart(self, tmp_path: Path):
        """One that began before the read model's position and ended behind it makes room."""
        async with running(tmp_path, owner_max_tasks=2) as its:
            spoken, _ = await its.post(), await its.post()
            await project_usage(its)
            await speak(its.application, spoken)
        async with running(tmp_path, owner_max_tasks=2) as its:
            assert await accepted(its)
            assert refused(await ask(its), "too_many_tasks")

    async def test_while_it_is_made_anew_quotas_hold(self, tmp_path: Path):
        """For a gateway that runs, one that starts meanwhile, and one that starts afterwards."""
        quota = {"owner_characters_per_day": 2 * CHARACTERS}
        async with running(tmp_path, **quota) as its:
            assert await accepted(its)
            assert await accepted(its)
            await project_usage(its)
            async with its.database.transaction() as transaction:
                await transaction.execute("UPDATE read_models SET position = 0")
            assert refused(await ask(its), "characters_exhausted")
        async with running(tmp_path, **quota) as its:
            assert refused(await ask(its), "characters_exhausted")
            await project_usage(its)
        async with running(tmp_path, **quota) as its:
            assert refused(await ask(its), "characters_exhausted")

    async def test_that_cannot_be_read_at_the_start_lets_nobody_in_unseen(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Who has a quota waits (503) until it can; others are served."""
        file = tmp_path / "keys.json"
        limited, free = key(file, "shop", max_tasks=1), key(file, "bakery")
        async with running(tmp_path, tts_api_keys_file=file) as its:
            quotas = its.gateway._services.quotas
            read = quotas._standing

            async def away(since: str) -> Any:
                raise Unavailable("away")

            quotas._standing = away
            with monkeypatch.context() as patch:
                patch.setattr("gateway.quotas.COUNTING_SECONDS", 0.2)
                answer = await ask(its, limited)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert await accepted(its, headers=free)
            # A counting that is under way has the function already; the next one has the real one.
            quotas._counting.cancel()
            await asyncio.wait([quotas._counting])
            quotas._standing = read
            assert await accepted(its, headers=limited)


class TestUsage:
    async def test_shows_an_app_its_own(self, tmp_path: Path, clock: Clock):
        """What it took today and on other days, and what it may take; of others nothing."""
        file = tmp_path / "keys.json"
        shop = key(file, "shop", characters_per_day=1000)
        bakery = key(file, "bakery")
        async with running(tmp_path, tts_api_keys_file=file, owner_max_tasks=7) as its:
            clock.now = NOON - timedelta(days=2)
            assert await accepted(its, headers=shop)
            clock.now = NOON
            assert await accepted(its, headers=shop)
            assert await accepted(its, headers=bakery)
            await project_usage(its)
            answer = await its.client.get("/api/usage?days=3", headers=shop)
            usage = answer.json()["data"]
            assert (usage["today"], usage["resetsAt"]) == (
                "2026-03-01",
                "2026-03-02T00:00:00+00:00",
            )
            (own,) = usage["owners"]
            days = own.pop("days")
            assert own == {
                "owner": "shop",
                "unfinished": 2,
                "charactersToday": CHARACTERS,
                "limits": {"maxTasks": 7, "charactersPerDay": 1000},
            }
            assert [day["day"] for day in days] == ["2026-03-01", "2026-02-27"]
            today = await its.client.get("/api/usage", headers=shop)
            assert len(today.json()["data"]["owners"][0]["days"]) == 1
            other = await its.client.get("/api/usage?owner=bakery", headers=shop)
            assert (other.status_code, other.json()["code"]) == (403, "forbidden")

    async def test_shows_everybodys_to_who_may_see_it(self, tmp_path: Path):
        """Page by page or one owner; of several keys the widest limits."""
        file = tmp_path / "keys.json"
        ops = key(file, "ops", Role.DASHBOARD)
        apps = [
            key(file, "bakery", characters_per_day=5000, max_tasks=1),
            key(file, "bakery", characters_per_day=9000, max_tasks=0),
            key(file, "shop"),
        ]
        async with running(tmp_path, tts_api_keys_file=file, owner_max_tasks=7) as its:
            for app in apps:
                assert await accepted(its, headers=app)
            await project_usage(its)
            pages, cursor = [], ""
            for _ in range(2):
                answer = await its.client.get(f"/api/usage?limit=1{cursor}", headers=ops)
                pages += answer.json()["data"]["owners"]
                cursor = f"&cursor={answer.json()['data']['nextCursor']}"
            assert [(usage["owner"], usage["limits"]) for usage in pages] == [
                ("bakery", {"maxTasks": None, "charactersPerDay": 9000}),
                ("shop", {"maxTasks": 7, "charactersPerDay": None}),
            ]
            assert cursor == "&cursor=None"
            one = await its.client.get("/api/usage?owner=shop", headers=ops)
            assert one.json()["data"]["owners"] == pages[1:]
            nobody = await its.client.get("/api/usage?owner=nobody", headers=ops)
            assert nobody.json()["data"]["owners"][0]["unfinished"] == 0

    @pytest.mark.parametrize("query", ["days=0", "days=93", "days=x", "day=1", "limit=0"])
    async def test_says_what_is_wrong_with_a_question(self, its: Running, query: str):
        """By the field's name, misspelt ones too."""
        answer = await its.client.get(f"/api/usage?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert query.partition("=")[0] in answer.json()["error"]
