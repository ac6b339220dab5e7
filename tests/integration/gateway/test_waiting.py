"""Those who wait are told their place and for how long, by the one relay that knows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway import outlook
from tests.builders import brought
from tests.integration.gateway.gateway_under_test import Running, running
from tests.integration.relay.relay_under_test import Broker, relaying
from tests.waiting import until
from tts.bootstrap import roster_of
from tts.cli import facts
from tts.domain.task import Task
from tts.domain.values import Status
from tts.observability.overview import SILENT_SECONDS, places_of, turns_of
from tts.ports.roster import Attendance, Heard, Notice
from tts.relay.relay import Relay

NOTHING = {"queuePosition": None, "estimatedWaitMs": None}


class Site:
    """A gateway, a relay over the same log whose broker gives nothing away, and the roster."""

    def __init__(self, its: Running, relay: Relay) -> None:
        self.its = its
        self.relay = relay
        self._roster = roster_of(its.store)
        self._of_relay = facts.of_relay(relay, its.store, self._roster, its.application.now)

    async def tell(self, *, places: int = 4, busy: int = 4) -> None:
        """Both tell of themselves, as they do every other second."""
        processor = Notice("processor", "p", {"places": places, "busy": busy})
        await self._roster.tell([processor])
        await self._roster.tell([Notice("relay", "r", await self._of_relay())])

    async def ask(self, count: int, **more: Any) -> list[UUID]:
        """So many tasks, one after the other."""
        request = self.its.application.request
        return [(await request(template_id="t", text="x", **more))[0].id for _ in range(count)]

    async def wait(self, task_id: UUID, query: str = "") -> dict[str, Any]:
        """What the task is told of its wait."""
        answer = await self.its.client.get(f"/api/tts/task/{task_id}{query}")
        return {name: value for name, value in answer.json()["data"].items() if name in NOTHING}

    async def places(self, tasks: Sequence[UUID]) -> list[int | None]:
        """Of each of the tasks."""
        return [(await self.wait(task_id))["queuePosition"] for task_id in tasks]

    async def aclose(self) -> None:
        """Let go of the roster."""
        await self._roster.aclose()


@contextlib.asynccontextmanager
async def waiting_at(folder: Path, *, window: int = 2) -> AsyncIterator[Site]:
    """The site, with a relay that leads and knows all."""
    async with running(folder) as its, relaying(its.store, Broker(), window=window) as relay:
        site = Site(its, relay)
        await until(lambda: _knows(relay), "the relay leads")
        yield site
        await site.aclose()


async def _knows(relay: Relay) -> bool:
    return relay.turns() is not None


async def _waits(relay: Relay, count: int) -> bool:
    turns = relay.turns()
    return turns is not None and turns.waiting == count


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is answered by what was told last."""
    monkeypatch.setattr(outlook, "LOOK_SECONDS", 0.0)


async def test_each_waiting_task_has_its_place(tmp_path: Path):
    """First those with the broker, then the others by the fair turns of their owners."""
    async with waiting_at(tmp_path) as site:
        big = await site.ask(5, owner="big")
        await until(lambda: _waits(site.relay, 5), "they wait")
        small = await site.ask(2, owner="small")
        await until(lambda: _waits(site.relay, 7), "all wait")
        await site.tell()
        assert await site.places([*big[:3], small[0], big[3], small[1], big[4]]) == [*range(1, 8)]
        (urgent,) = await site.ask(1, owner="big", priority="high")
        assert await site.places([urgent]) == [3]  # before the relay has told of it
        assert (await site.wait(urgent))["estimatedWaitMs"] is None  # nothing has ended yet


async def test_the_wait_goes_by_how_long_tasks_take(tmp_path: Path):
    """Of the one who waits, and of one who comes now; while a place is free it is none."""
    async with waiting_at(tmp_path) as site:
        pace = site.relay._pace
        first, second, third = await site.ask(3)
        await until(lambda: _waits(site.relay, 3), "they wait")
        now = site.its.application.now().timestamp()
        pace.claimed(done := UUID(int=1), now - 10)
        pace.released(done, now)
        await site.tell()
        waits = [await site.wait(each) for each in (first, second, third)]
        assert waits == [{"queuePosition": n, "estimatedWaitMs": n * 2500} for n in (1, 2, 3)]
        for task_id in (first, second, third):
            await brought(site.its.application, task_id, Status.DEQUEUED)
        await until(lambda: _waits(site.relay, 0), "nobody waits")
        await until(lambda: _has_looked(site.relay), "the relay has looked at its tasks")
        await site.tell(busy=3)
        assert await site.wait(first) == {}  # it waits no longer
        queue = (await site.its.client.get("/system")).json()["data"]["queue"]
        assert queue["estimatedWaitMs"] == 0
        await site.tell(busy=4)
        queue = (await site.its.client.get("/system")).json()["data"]["queue"]
        assert queue["estimatedWaitMs"] >= 2500  # more, once those three take longer than usual


async def _has_looked(relay: Relay) -> bool:
    return relay.figures is not None


async def test_an_update_says_which_place_it_was(tmp_path: Path):
    """In the log, so that a stream that is resumed says the same."""
    async with waiting_at(tmp_path, window=2) as site:
        first, second, third = await site.ask(3)
        await until(lambda: _waits(site.relay, 3), "they wait")
        for task_id in (first, second):
            await until(partial(_queued, site, task_id), "it is with the broker")
        await brought(site.its.application, first, Status.DEQUEUED)
        await until(lambda: _queued(site, third), "the third one's turn has come")
        for _ in range(2):
            async with site.its.stream("from=start") as stream:
                queued = {}
                while len(queued) < 3:
                    (update,) = await stream.updates(1)
                    if update["status"] == "queued":
                        queued[update["taskId"]] = update.get("queuePosition")
            assert queued == {str(first): 1, str(second): 2, str(third): 2}


async def _queued(site: Site, task_id: UUID) -> bool:
    return (await site.its.store.events(task_id))[-1].topic == Task.Queued.TOPIC


async def test_what_nobody_knows_is_null(tmp_path: Path):
    """While no relay tells; and nobody knows what stood before a task at some time in the past."""
    async with waiting_at(tmp_path) as site:
        (task_id,) = await site.ask(1)
        assert await site.wait(task_id) == NOTHING
        await until(lambda: _queued(site, task_id), "it is with the broker")
        await site.tell()
        assert await site.places([task_id]) == [1]
        assert await site.wait(task_id, "?asOf=1") == {}


def test_what_was_told_long_ago_is_not_believed():
    """A relay that is silent, stands by or is of another version tells of no turns."""
    turns = {
        "followed": 1,
        "published": [],
        "lines": {},
        "rest": {},
        "seconds_per_turn": None,
        "free": 0,
    }

    def attendance(age: float = 0.0, role: str = "leading", **more: Any) -> Attendance:
        relay = Notice("relay", "r", {"role": role, "turns": turns | more})
        return Attendance([Heard(relay, 0.0, age)], {})

    assert turns_of(attendance()) is not None
    assert turns_of(attendance(age=SILENT_SECONDS + 1)) is None
    assert turns_of(attendance(role="standing by")) is None
    assert turns_of(attendance(lines={"normal": [{"unheard": 1}]})) is None
    assert turns_of(attendance(unheard=1)) is None
    silent = Notice("processor", "p", {"places": 4, "busy": 1})
    assert places_of(Attendance([Heard(silent, 0.0, SILENT_SECONDS + 1)], {})) == (0, 0)
