"""Dead letters over HTTP: found, inspected, redriven and dismissed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from gateway.access import keys
from gateway.access.roles import Role
from tests.builders import bring, fail
from tests.integration.gateway.gateway_under_test import Running, running
from tests.read_models import caught_up
from tests.waiting import until
from tts.application import dead_letters
from tts.domain.task import Task
from tts.domain.values import Status

WHY = {"reason": "the provider is back"}


class Bench:
    """A gateway with its read models, and tasks that fail as told."""

    def __init__(self, its: Running) -> None:
        self.its = its

    async def failed(
        self,
        code: str = "network",
        *,
        step: str = "poll",
        template: str = "t1",
        permanent: bool = False,
        owner: str = "",
    ) -> str:
        """A task that has failed; its id."""
        task, _ = await self.its.application.request(template_id=template, text="你好", owner=owner)
        await self.fail(task.id, code, step=step, permanent=permanent)
        return str(task.id)

    async def fail(
        self, task_id: UUID, code: str = "network", *, step: str = "poll", permanent: bool = False
    ) -> None:
        """Append a claim, a prediction, and the failure."""

        def command(task: Task) -> None:
            now = self.its.application.now()
            bring(task, Status.PREDICTION_CREATED, now=now)
            message = f"{code} at {step}"
            fail(task, code, step, message=message, permanent=permanent, now=now, abandoned=[0])

        await self.its.application.change(task_id, command)

    async def caught_up(self) -> None:
        """Wait until the read model is at the end of the log."""
        await caught_up(self.its.store, self.its.database)

    async def listed(self, **query: Any) -> dict[str, Any]:
        """The first page, once the read model is there."""
        await self.caught_up()
        answer = await self.its.client.get("/api/dead-letters", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()["data"]
        return page

    async def ids(self, **query: Any) -> list[str]:
        """Whose letters are listed."""
        return [letter["taskId"] for letter in (await self.listed(**query))["deadLetters"]]

    async def order(self, what: str, **body: Any) -> dict[str, Any]:
        """Redrive or dismiss, once the read model is there."""
        await self.caught_up()
        answer = await self.its.client.post(f"/api/dead-letters/{what}", json=WHY | body)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()["data"]
        return done

    async def status(self, task_id: str) -> str:
        """As the log has it."""
        return (await self.its.application.load(UUID(task_id)))[0].status.value

    async def newest(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """The topic and the state of the task's last event."""
        event = (await self.its.store.events(UUID(task_id)))[-1]
        return event.topic, orjson.loads(event.state)


@contextlib.asynccontextmanager
async def bench(folder: Path, **settings: Any) -> AsyncIterator[Bench]:
    async with running(folder, projected=True, **settings) as its:
        yield Bench(its)


@pytest.fixture
async def its(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as its:
        yield its


def key(folder: Path, owner: str, role: Role) -> dict[str, str]:
    _, text = keys.add(folder / "keys.json", owner=owner, role=role, expires=None)
    return {"Authorization": f"Bearer {text}"}


class TestList:
    async def test_says_why_and_at_what_cost(self, its: Bench):
        """What somebody who is called at night wants to know, without looking further."""
        task_id = await its.failed("network", template="t7")
        await its.its.post()  # which has not failed
        page = await its.listed()
        (letter,) = page["deadLetters"]
        assert datetime.fromisoformat(letter.pop("createdAt")) < datetime.fromisoformat(
            letter.pop("failedAt")
        )
        assert letter == {
            "taskId": task_id,
            "status": "failed",
            "owner": "",
            "templateId": "t7",
            "code": "network",
            "step": "poll",
            "error": "network at poll",
            "permanent": False,
            "attempts": 1,
            "maxAttempts": 3,
            "predictions": 1,
            "textLength": 2,
            "position": 6,
        }
        assert (page["counts"], page["total"], page["nextCursor"]) == ({"network": 1}, 1, None)

    async def test_can_be_narrowed_down(self, its: Bench):
        """By code, step, template, time of failure, and whether a repetition can help."""
        first = await its.failed("network", template="t1")
        between = datetime.now(UTC)
        second = await its.failed("nsfw", step="create", template="t2", permanent=True)
        third = await its.failed("network", template="t2")
        assert await its.ids() == [third, second, first]
        assert await its.ids(code="network") == [third, first]
        assert await its.ids(step="create") == [second]
        assert await its.ids(templateId="t2") == [third, second]
        assert await its.ids(since=between.isoformat()) == [third, second]
        assert await its.ids(until=between.isoformat()) == [first]
        assert await its.ids(permanent="true") == [second]
        assert await its.ids(permanent="false", templateId="t2") == [third]
        assert await its.ids(code="nothing") == []
        assert (await its.listed(templateId="t2"))["counts"] == {"network": 1, "nsfw": 1}

    async def test_has_pages(self, its: Bench):
        """Each letter is on exactly one."""
        tasks = [await its.failed() for _ in range(5)]
        found, cursor = [], {}
        for _ in range(3):
            page = await its.listed(limit=2, **cursor)
            found += [letter["taskId"] for letter in page["deadLetters"]]
            cursor = {"cursor": page["nextCursor"]}
        assert found == tasks[::-1]
        assert cursor == {"cursor": None}

    async def test_has_what_failed_until_somebody_does_something(self, its: Bench):
        """A retry, a dismissal and an erasure take a letter off; a new failure brings it back."""
        retried, dismissed, erased = [await its.failed() for _ in range(3)]
        assert len(await its.ids()) == 3
        app = its.its.application
        await app.retry(UUID(retried), by="ann", reason="again")
        await app.dismiss(UUID(dismissed), by="ann", reason="known")
        await app.erase(UUID(erased), its.its.audio, by="ann")
        assert await its.ids() == []
        await its.fail(UUID(retried), "nsfw")
        assert await its.ids(code="nsfw") == [retried]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({"since": "yesterday"}, "invalid_request"),
            ({"permanent": "perhaps"}, "invalid_request"),
            ({"limit": "0"}, "invalid_request"),
            ({"templateId": "../x"}, "invalid_request"),
            ({"code": "\0"}, "invalid_request"),
            ({"cursor": "abc"}, "invalid_cursor"),
        ],
    )
    async def test_refuses_what_it_does_not_understand(self, its: Bench, query, code: str):
        """A filter that is misspelt must not select everything."""
        answer = await its.its.client.get("/api/dead-letters", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


class TestInspect:
    async def test_tells_the_whole_story(self, its: Bench):
        """The words, the error, every event, and every prediction that was made."""
        task_id = await its.failed("network")
        await its.its.application.retry(UUID(task_id), by="ann", reason="again")
        await its.fail(UUID(task_id), "nsfw", permanent=True)
        answer = await its.its.client.get(f"/api/dead-letters/{task_id}")
        told = answer.json()["data"]
        assert (told["code"], told["permanent"], told["ttsText"]) == ("nsfw", True, "你好")
        assert told["predictions"] == 2
        assert [made["predictionId"] for made in told["predictionsMade"]] == ["p1", "p2"]
        statuses = [event["status"] for event in told["events"]]
        assert statuses.count("failed") == 2
        retry = told["events"][statuses.index("retrying")]
        assert (retry["by"], retry["reason"]) == ("ann", "again")

    async def test_needs_a_failure(self, its: Bench):
        """A task that is on its way is none, and one that never was is not found."""
        for task_id, code in (
            (await its.its.post(), "not_a_dead_letter"),
            (uuid4(), "task_not_found"),
            ("nonsense", "task_not_found"),
        ):
            answer = await its.its.client.get(f"/api/dead-letters/{task_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, code)


class TestRedrive:
    async def test_by_filter_says_who_and_why(self, its: Bench):
        """Each task gets an event of its own, which streams show."""
        wanted = [await its.failed("network") for _ in range(3)]
        other = await its.failed("nsfw")
        async with its.its.stream() as reader:
            await reader.of("connected")
            done = await its.order("redrive", filter={"code": "network"})
            updates = await reader.updates(3)
        assert (done["matched"], done["redriven"], done["remaining"]) == (3, 3, 0)
        assert (done["skipped"], done["next"], done["dryRun"]) == (0, None, False)
        assert sorted(done["taskIds"]) == sorted(wanted)
        assert sorted(update["taskId"] for update in updates) == sorted(wanted)
        for update in updates:
            assert update["status"] == "retrying"
            assert (update["by"], update["reason"]) == ("client", WHY["reason"])
        assert await its.ids() == [other]

    async def test_by_name_skips_what_cannot_be_retried(self, its: Bench):
        """It is counted and told, and the others are redriven all the same."""
        failed, dismissed, erased = [await its.failed() for _ in range(3)]
        await its.its.application.dismiss(UUID(dismissed), by="ann", reason="known")
        await its.its.application.erase(UUID(erased), its.its.audio, by="ann")
        going, unknown = str(await its.its.post()), str(uuid4())
        tasks = [failed, failed, dismissed, erased, going, unknown]
        done = await its.order("redrive", taskIds=tasks)
        assert done["taskIds"] == [failed, dismissed]
        assert (done["matched"], done["redriven"], done["skipped"]) == (5, 2, 3)
        assert {each["taskId"]: each["code"] for each in done["reasons"]} == {
            erased: "task_erased",
            going: "task_not_failed",
            unknown: "task_not_found",
        }

    async def test_leaves_alone_what_changed_since_the_read_model_knew(self, tmp_path: Path):
        """Somebody was first: it is no error, and what failed anew is not hidden by it."""
        async with running(tmp_path) as gateway:
            its = Bench(gateway)
            retried, again, still = [await its.failed() for _ in range(3)]
            await gateway.project()
            # From here on the read model sleeps.
            for task_id in (retried, again):
                await gateway.application.retry(UUID(task_id), by="ann", reason="first")
            await its.fail(UUID(again), "nsfw")
            answer = await gateway.client.get("/api/dead-letters")
            assert [d["taskId"] for d in answer.json()["data"]["deadLetters"]] == [still]
            body = WHY | {"filter": {}}
            answer = await gateway.client.post("/api/dead-letters/redrive", json=body)
            done = answer.json()["data"]
            assert (done["taskIds"], done["skipped"]) == ([still], 2)
            assert {each["code"] for each in done["reasons"]} == {"changed"}

    async def test_a_dry_run_changes_nothing(self, its: Bench):
        """It says what the real one would do."""
        tasks = [await its.failed() for _ in range(3)]
        going = str(await its.its.post())
        position = await its.its.store.position()
        would = await its.order("redrive", filter={}, dryRun=True)
        assert (sorted(would["taskIds"]), would["dryRun"]) == (sorted(tasks), True)
        named = await its.order("redrive", taskIds=[*tasks, going], dryRun=True)
        assert (named["redriven"], named["skipped"]) == (3, 1)
        assert await its.its.store.position() == position

    async def test_goes_at_the_pace_asked_for(self, tmp_path: Path):
        """So that whoever has just recovered is not run over; the setting is the most."""
        async with bench(tmp_path, redrive_per_second=20) as its:
            for _ in range(11):
                await its.failed()
            await its.caught_up()
            began = asyncio.get_running_loop().time()
            done = await its.order("redrive", filter={}, perSecond=1000)
            took = asyncio.get_running_loop().time() - began
            assert done["redriven"] == 11
            assert took >= (11 - 2) / 20

    async def test_a_big_one_goes_on_where_it_ended(self, tmp_path: Path, monkeypatch):
        """A request ends in time; what failed anew meanwhile is not taken up again and again."""
        monkeypatch.setattr(dead_letters, "WORK_SECONDS", 0.15)
        async with bench(tmp_path, redrive_per_second=20) as its:
            tasks = [await its.failed() for _ in range(9)]
            seen: list[str] = []
            cursor: dict[str, Any] = {}
            remaining = 9
            for _ in range(9):
                done = await its.order("redrive", filter={}, **cursor)
                assert done["matched"] == remaining
                assert done["remaining"] == remaining - done["redriven"] < remaining
                seen += done["taskIds"]
                for task_id in done["taskIds"]:
                    await its.fail(UUID(task_id))
                cursor, remaining = {"cursor": done["next"]}, done["remaining"]
                if done["next"] is None:
                    break
            assert seen == tasks[::-1]
            assert len(await its.ids()) == 9

    async def test_the_limit_bounds_one_request(self, its: Bench):
        """By filter and by name alike."""
        tasks = [await its.failed() for _ in range(5)]
        done = await its.order("redrive", filter={}, limit=2)
        assert (done["taskIds"], done["remaining"]) == (tasks[:2:-1], 3)
        done = await its.order("redrive", taskIds=tasks[:3], limit=2)
        assert (done["taskIds"], done["remaining"]) == (tasks[:2], 1)
        done = await its.order("redrive", taskIds=tasks[:3], limit=2, cursor=done["next"])
        assert (done["taskIds"], done["next"]) == ([tasks[2]], None)

    async def test_after_a_crash_asking_again_finishes_it(self, tmp_path: Path, monkeypatch):
        """What was redriven is in the log, and nothing else has to be remembered."""
        async with bench(tmp_path, redrive_per_second=20) as its:
            tasks = [await its.failed() for _ in range(6)]
            await its.caught_up()
            append, left, dead = its.its.store.append, iter(range(2)), asyncio.Event()

            async def dying(*arguments: Any) -> int:
                if next(left, None) is None:
                    dead.set()
                    await asyncio.Event().wait()
                return await append(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(its.its.store, "append", dying)
                body = WHY | {"filter": {}}
                asking = asyncio.create_task(
                    its.its.client.post("/api/dead-letters/redrive", json=body)
                )
                await until(dead.is_set, "it dies at the third")
                asking.cancel()  # the connection breaks, and with it what the gateway was doing
                await asyncio.wait([asking])
            done = await its.order("redrive", filter={})
            assert done["redriven"] == 4
            for task_id in tasks:
                events = await its.its.store.events(UUID(task_id))
                assert [e.topic for e in events].count(Task.RetryRequested.TOPIC) == 1


class TestDismiss:
    async def test_takes_letters_off_the_list(self, its: Bench):
        """The tasks stay failed; who, why and when is in the log and in the streams."""
        tasks = [await its.failed("nsfw", permanent=True) for _ in range(3)]
        other = await its.failed("network")
        done = await its.order("dismiss", filter={"permanent": True})
        assert (done["matched"], done["dismissed"]) == (3, 3)
        assert await its.ids() == [other]
        for task_id in tasks:
            topic, state = await its.newest(task_id)
            assert (topic, state["reason"]) == (Task.Dismissed.TOPIC, WHY["reason"])
            answer = await its.its.client.get(f"/api/tts/task/{task_id}")
            assert answer.json()["data"]["status"] == "failed"
            assert answer.json()["data"]["dismissedAt"] == state["timestamp"]
        again = await its.order("dismiss", taskIds=tasks)
        assert (again["dismissed"], again["skipped"]) == (0, 3)

    async def test_can_be_taken_back_by_name(self, its: Bench):
        """A dismissed task can be inspected and redriven."""
        task_id = await its.failed()
        await its.order("dismiss", taskIds=[task_id])
        answer = await its.its.client.get(f"/api/dead-letters/{task_id}")
        assert answer.json()["data"]["dismissedAt"] is not None
        assert (await its.order("redrive", taskIds=[task_id]))["redriven"] == 1
        assert await its.status(task_id) == "retrying"


class TestOrders:
    @pytest.mark.parametrize("what", ["redrive", "dismiss"])
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"filter": {}}, 400, "invalid_request"),
            ({"filter": {}, "reason": " "}, 400, "invalid_request"),
            (WHY, 400, "invalid_request"),
            (WHY | {"filter": {}, "taskIds": ["x"]}, 400, "invalid_request"),
            (WHY | {"taskIds": []}, 400, "invalid_request"),
            (WHY | {"taskIds": ["x"]}, 404, "task_not_found"),
            (WHY | {"filter": {"since": 5}}, 400, "invalid_request"),
            (WHY | {"filter": {"cod": "network"}}, 400, "invalid_request"),
            (WHY | {"filter": {}, "limit": 0}, 400, "invalid_request"),
            (WHY | {"filter": {}, "cursor": "abc"}, 400, "invalid_cursor"),
            (WHY | {"taskIds": [str(UUID(int=1))], "cursor": "abc"}, 400, "invalid_cursor"),
        ],
    )
    async def test_that_are_not_clear_do_nothing(
        self, its: Bench, what: str, body, status: int, code: str
    ):
        """A misspelt filter would otherwise mean all of them."""
        await its.failed()
        await its.caught_up()
        position = await its.its.store.position()
        answer = await its.its.client.post(f"/api/dead-letters/{what}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert await its.its.store.position() == position


class TestOwners:
    async def test_see_and_command_their_own(self, tmp_path: Path):
        """An app key is bound to its owner; dashboard and admin see all; the log names who."""
        shop, ops = key(tmp_path, "shop", Role.APP), key(tmp_path, "ops", Role.ADMIN)
        dashboard = key(tmp_path, "wall", Role.DASHBOARD)
        async with bench(tmp_path, tts_api_keys_file=tmp_path / "keys.json") as its:
            mine, others = await its.failed(owner="shop"), await its.failed(owner="bakery")
            await its.caught_up()
            client = its.its.client

            async def ids(headers: dict[str, str], **query: str) -> list[str]:
                answer = await client.get("/api/dead-letters", params=query, headers=headers)
                return [d["taskId"] for d in answer.json()["data"]["deadLetters"]]

            async def redrive(headers: dict[str, str], **body: Any) -> Any:
                answer = await client.post(
                    "/api/dead-letters/redrive", json=WHY | body, headers=headers
                )
                return answer.json().get("data", answer.status_code)

            assert await ids(shop) == [mine]
            assert await ids(dashboard) == await ids(ops) == [others, mine]
            assert await ids(ops, owner="bakery") == [others]
            answer = await client.get(f"/api/dead-letters/{others}", headers=shop)
            assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")
            answer = await client.get("/api/dead-letters?owner=bakery", headers=shop)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert await redrive(dashboard, filter={}) == 403
            assert await redrive(shop, filter={"owner": "bakery"}) == 403

            named = await redrive(shop, taskIds=[others])
            assert (named["redriven"], named["reasons"][0]["code"]) == (0, "task_not_found")
            assert (await redrive(shop, filter={}))["taskIds"] == [mine]
            assert (await redrive(ops, filter={"owner": "bakery"}))["taskIds"] == [others]
            for task_id, who in ((mine, "shop"), (others, "ops")):
                topic, state = await its.newest(task_id)
                assert (topic, state["by"]) == (Task.RetryRequested.TOPIC, who)


async def test_times_are_those_of_the_failure(its: Bench):
    """Not those of the request, which may lie days before."""
    task_id = await its.failed()
    (letter,) = (await its.listed())["deadLetters"]
    at = datetime.fromisoformat(letter["failedAt"])
    assert await its.ids(since=at.isoformat()) == [task_id]
    assert await its.ids(until=at.isoformat()) == []
    assert await its.ids(since=(at + timedelta(microseconds=1)).isoformat()) == []
