"""What users see while something fails: how long each of their texts waits, at the worst."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

import aiohttp

from tests.chaos.app import App, Reader

PAUSE_SECONDS = 0.5  # between two texts, and between two looks at the list
LISTED = 50

Times = dict[str, float]
"""When it was, by task; monotonic."""


@dataclass(frozen=True)
class Figures:
    """The longest that a text waited, in seconds.

    Until it was accepted, and from then on until it was spoken, until a stream told of it, and
    until a list had it.
    """

    accepting: float
    processing: float
    streams: float
    lists: float

    def __str__(self) -> str:
        return (
            f"accepting {self.accepting:.1f} s, processing {self.processing:.1f} s, "
            f"streams {self.streams:.1f} s, lists {self.lists:.1f} s"
        )


class Watch:
    """Asks for a text every now and then, follows the stream, and looks at the list.

    ``failures`` are what went wrong with the lists; the app knows what it had to repeat.
    """

    def __init__(self, app: App, reader: Reader) -> None:
        self.failures: list[str] = []
        self._app = app
        self._reader = reader
        self._name = uuid4()
        self._asked = 0
        self._over = False
        self._tasks: dict[int, str] = {}  # by the number of what was asked for
        self._times: dict[str, tuple[float, float]] = {}  # asked for, and accepted
        self._spoken: Times = {}
        self._heard: Times = {}
        self._listed: Times = {}

    async def run(self) -> None:
        """Until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_list())
            group.create_task(self._listen())
            while not self._over:
                self._asked += 1
                group.create_task(self._ask(self._asked))
                await asyncio.sleep(PAUSE_SECONDS)

    async def end(self, seconds: float) -> None:
        """Ask for nothing more, and return when all is :meth:`settled`."""
        self._over = True
        await self.settled(seconds)

    async def settled(self, seconds: float) -> None:
        """Return when all that was asked for until now is accepted, spoken, heard of and listed."""
        goal = self._asked
        async with asyncio.timeout(seconds):
            while not all(map(self._is_settled, range(1, goal + 1))):
                await asyncio.sleep(0.05)

    def since(self, began: float) -> Figures:
        """Of the texts that were on their way then, or were asked for since."""
        accepted = {task: at for task, (_, at) in self._times.items()}
        asked = {task: at for task, (at, _) in self._times.items()}
        return Figures(
            _longest(began, asked, accepted),
            _longest(began, accepted, self._spoken),
            _longest(began, accepted, self._heard),
            _longest(began, accepted, self._listed),
        )

    def _is_settled(self, number: int) -> bool:
        task_id = self._tasks.get(number)
        return task_id in self._spoken and task_id in self._listed

    async def _ask(self, number: int) -> None:
        asked = time.monotonic()
        task_id = await self._app.speak(f"第{number}句话。", key=f"{self._name}-{number}")
        self._times[task_id] = asked, time.monotonic()
        self._tasks[number] = task_id

    async def _listen(self) -> None:
        done = 0
        while True:
            news, done = self._reader.seen[done:], len(self._reader.seen)
            _note(self._heard, (task for _, task, _ in news))
            _note(self._spoken, (task for _, task, status in news if status == "succeeded"))
            await asyncio.sleep(0.02)

    async def _look_at_list(self) -> None:
        while True:
            try:
                status, answer = await self._app.once("GET", f"/api/tts/tasks?limit={LISTED}")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures.append(repr(error))
            else:
                if status == HTTPStatus.OK:
                    _note(self._listed, (row["taskId"] for row in answer["data"]["tasks"]))
                else:
                    self.failures.append(f"{status} {answer}")
            await asyncio.sleep(PAUSE_SECONDS)


def _note(times: Times, tasks: Iterable[str]) -> None:
    for task in tasks:
        times.setdefault(task, time.monotonic())


def _longest(began: float, starts: Mapping[str, float], ends: Mapping[str, float]) -> float:
    waits = [ends[t] - max(at, began) for t, at in starts.items() if ends.get(t, 0) > began]
    return max(waits, default=0.0)
