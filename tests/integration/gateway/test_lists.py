"""Lists and statistics over HTTP: what narrows them, how fresh they are, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway import freshness, task_list
from gateway.access import keys
from gateway.access.roles import Role
from tests.histories import new_task, stored
from tests.integration.gateway.gateway_under_test import Running, fail, running, speak
from tests.read_models import projecting
from tests.services.stores import Store
from tests.waiting import SECONDS
from tts.ports.log import Payload


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read model may be long in coming there, on a machine that is busy."""
    monkeypatch.setattr(freshness, "WAIT_SECONDS", SECONDS)


@pytest.fixture
async def projected(its: Running) -> AsyncIterator[None]:
    """Its read models follow the log."""
    async with projecting(its.store, its.database):
        yield


async def get(its: Running, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
    """The data of an answer, once everything is in it."""
    query.setdefault("atLeast", await its.store.position())
    answer = await its.client.get(path, params=query, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def ids(its: Running, **query: Any) -> list[str]:
    return [task["taskId"] for task in (await get(its, "/api/tts/tasks", **query))["tasks"]]


class TestUnknownFields:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/tts/tasks",
            "/api/stats",
            "/api/stats/series",
            "/api/usage",
            "/api/templates",
            "/api/dead-letters",
            "/api/tts/task/00000000-0000-0000-0000-000000000000",
            "/api/tts/task/00000000-0000-0000-0000-000000000000/events",
        ],
    )
    async def test_are_refused_by_name_everywhere(self, its: Running, path: str):
        """An answer that ignores a filter would be taken for one that does not."""
        answer = await its.client.get(path, params={"statuss": "failed"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["error"].startswith("statuss: there is no such field; there are ")
        assert "atLeast" in answer.json()["error"]

    async def test_include_an_owner_that_is_not_ones_own(self, tmp_path: Path):
        """An app's key may name its own alone."""
        file = tmp_path / "keys.json"
        _, text = keys.add(file, owner="ann", role=Role.APP, expires=None)
        async with running(tmp_path, tts_api_keys_file=str(file)) as its:
            headers = {"Authorization": f"Bearer {text}"}
            for path in ("/api/tts/tasks", "/api/stats/series", "/api/templates"):
                answer = await its.client.get(path, params={"owner": "bob"}, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
                own = await its.client.get(path, params={"owner": "ann"}, headers=headers)
                assert own.status_code == 200


@pytest.mark.usefixtures("projected")
class TestTasks:
    async def test_are_narrowed_by_what_is_asked(self, its: Running):
        """By code, template, times and owner; together they narrow further."""
        first = str(await its.post(templateId="a"))
        second = await its.post(templateId="b")
        await fail(its.application, second, permanent=True)
        between = datetime.now(UTC).isoformat()
        third = str(await its.post(templateId="b"))
        assert await ids(its) == [third, str(second), first]
        assert await ids(its, code="template_missing") == [str(second)]
        assert await ids(its, templateId="b", until=between) == [str(second)]
        assert await ids(its, since=between) == [third]
        assert await ids(its, owner="ann") == []
        assert await ids(its, owner="", status="failed", templateId="b") == [str(second)]
        assert await ids(its, status="failed", templateId="a") == []

    async def test_are_found_by_their_text_until_it_is_erased(self, its: Running):
        """The case of letters does not matter, and nothing else is a pattern."""
        spoken = await its.post(tts_text="今天 Weather 100% 晴朗。")
        other = str(await its.post(tts_text="明天见。"))
        for search in ("weather", "100%", "晴朗"):
            assert await ids(its, search=search) == [str(spoken)]
        for search in ("100_", "w%r", "阴天"):
            assert await ids(its, search=search) == []
        assert await ids(its, search="天", limit=1) == [other]
        await speak(its.application, spoken)
        assert (await its.client.delete(f"/api/tts/task/{spoken}")).status_code == 200
        assert await ids(its, search="晴朗") == []

    async def test_are_found_by_how_their_ids_begin(self, its: Running):
        """As people copy them; too little of one is text."""
        task_id = str(await its.post())
        assert await ids(its, search=task_id) == [task_id]
        assert await ids(its, search=task_id[:13].upper()) == [task_id]
        assert await ids(its, search=task_id[:7]) == []
        number = str(await its.post(tts_text="号码 20250131"))
        assert await ids(its, search="20250131") == [number]

    async def test_that_a_search_has_not_come_to_are_on_the_next_page(
        self, its: Running, monkeypatch: pytest.MonkeyPatch
    ):
        """A page looks at so many texts; all pages together find each task once."""
        monkeypatch.setattr(task_list, "LOOKED_AT", 3)
        monkeypatch.setattr(task_list, "LOOKED_AT_MAX", 6)
        texts = ["好", "坏"] * 10
        posted = [str(await its.post(tts_text=text)) for text in texts]
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await get(its, "/api/tts/tasks", search="好", limit=2, **cursor)
            assert len(page["tasks"]) <= 2
            found += [task["taskId"] for task in page["tasks"]]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert found == posted[::2][::-1]


class TestFreshness:
    @pytest.mark.usefixtures("projected")
    async def test_an_answer_waits_for_the_position_that_is_asked_for(self, its: Running):
        """Who has just written reads what he wrote."""
        for _ in range(5):
            task_id = await its.post()
            assert (await ids(its))[0] == str(task_id)

    async def test_an_answer_that_does_not_get_there_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """In good time, and it says where it is; nothing is read that is older."""
        monkeypatch.setattr(freshness, "WAIT_SECONDS", 0.1)
        async with running(tmp_path) as its:
            await its.post()
            for path in ("/api/tts/tasks", "/api/usage", "/api/stats/series", "/api/templates"):
                answer = await its.client.get(path, params={"atLeast": 1})
                assert (answer.status_code, answer.json()["code"]) == (503, "read_model_behind")
                assert "position 0, not yet at 1" in answer.json()["error"]
                assert answer.headers["Retry-After"] == "1"
                answer = await its.client.get(path, params={"atLeast": 2})
                assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
                assert answer.json()["error"] == "atLeast: the log ends at position 1"

    async def test_an_answer_says_how_far_it_is_behind(self, its: Running):
        """In events, and in the seconds since the first of them."""
        await its.post()
        await its.project()
        at_the_end = await get(its, "/api/tts/tasks")
        assert at_the_end["lag"] == {"events": 0, "seconds": 0.0}
        await its.post()
        await its.post()
        await asyncio.sleep(0.01)
        for path in ("/api/tts/tasks", "/api/dead-letters", "/api/stats", "/api/usage"):
            behind = await get(its, path, atLeast=0)
            assert (behind["position"], behind["lag"]["events"]) == (1, 2)
            assert 0 < behind["lag"]["seconds"] < 60


class TestStatistics:
    @pytest.fixture(autouse=True)
    def no_day_ends(self, by_day) -> None:
        """Counts of a day are those of one."""

    @pytest.mark.usefixtures("projected")
    async def test_a_series_counts_what_happened(self, its: Running):
        """By hour, of one template or all; durations are of tasks that ended."""
        spoken, failed = await its.post(templateId="a"), await its.post(templateId="b")
        await its.post(templateId="b")
        await speak(its.application, spoken)
        await fail(its.application, failed, permanent=True)
        for span in ("minute", "hour", "day"):
            series = await get(its, "/api/stats/series", span=span)
            points = series["points"]
            assert sum(point["accepted"] for point in points) == 3
            assert sum(point["succeeded"] for point in points) == 1
            assert sum(point["failed"] for point in points) == 1
            (total,) = [point["total"] for point in points if point["total"]]
            assert total["count"] == 1
            assert 0 < total["p50"] == total["p99"]
        (point,) = (await get(its, "/api/stats/series", span="day", templateId="b"))["points"]
        assert (point["accepted"], point["succeeded"]) == (2, 0)
        assert point["failures"] == {"template_missing": 1}
        old = its.application.now() - timedelta(days=9)
        until = (old + timedelta(hours=1)).isoformat()
        series = await get(its, "/api/stats/series", since=old.isoformat(), until=until)
        assert series["points"] == []

    async def test_a_series_has_a_bound(self, its: Running):
        """A year of minutes is refused, with what to do."""
        query = {"span": "minute", "since": "2025-01-01T00:00:00Z"}
        answer = await its.client.get("/api/stats/series", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "since: at most 1500 points of a minute" in answer.json()["error"]

    @pytest.mark.usefixtures("projected")
    async def test_templates_tell_how_they_do(self, its: Running):
        """When they were asked for last, and which share of their tasks fails."""
        for name, ending in (("a", speak), ("a", None), ("b", fail), ("b", speak)):
            task_id = await its.post(templateId=name)
            if ending is fail:
                await fail(its.application, task_id, permanent=False)
            elif ending is speak:
                await speak(its.application, task_id)
        a, b = (await get(its, "/api/templates"))["templates"]
        assert (a["templateId"], a["tasks"], a["failureRate"]) == ("a", 2, 0.0)
        assert (b["templateId"], b["failed"], b["failureRate"]) == ("b", 1, 0.5)
        assert b["lastUsedAt"] > a["lastUsedAt"]
        page = await get(its, "/api/templates", limit=1)
        assert page["nextCursor"] == "a"
        assert [each["templateId"] for each in page["templates"]] == ["a"]

    async def test_usage_has_a_cost_where_there_is_a_price(self, tmp_path: Path):
        """Of the seconds that Replicate bills; without a price nobody knows."""
        for price, cost in ((0.0, None), (0.5, 0.75)):
            folder = tmp_path / str(price)
            async with running(folder, projected=True, replicate_price_per_second=price) as its:
                await speak(its.application, await its.post())
                (owner,) = (await get(its, "/api/usage"))["owners"]
                assert owner["days"][0]["predictSeconds"] == 1.5
                assert owner["days"][0]["cost"] == cost


async def test_texts_are_searched_by_their_bytes(store: Store):
    """On both stores alike: A to Z in either case, everything else as it is."""
    task = new_task(Random(1))
    await store.append(stored(task), Payload("Füße ÄRGER Straße", "", "salt"))
    for text in ("füße", "ÄRger", "STRAßE"):
        assert await store.containing(text, [task.id]) == {task.id}
    for text in ("FÜSSE", "ärger", "f_ße"):
        assert await store.containing(text, [task.id]) == set()
    assert await store.containing("e", []) == set()
