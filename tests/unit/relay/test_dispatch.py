"""What was published is marked as queued where it waits, and only there."""

from types import SimpleNamespace
from uuid import UUID, uuid4

import orjson
import pytest

from tests.waiting import until
from tts.domain.task import Task
from tts.patience import first_of
from tts.relay.dispatch import Dispatch
from tts.relay.pace import Pace


def event(task_id: UUID, position: int, topic: str) -> SimpleNamespace:
    """One of the log, of an anonymous owner."""
    return SimpleNamespace(
        task_id=task_id,
        position=position,
        version=1,
        topic=topic,
        state=orjson.dumps({"owner": ""}),
    )


class Processors:
    """A log and a broker: some tasks are taken as soon as they are published, the others wait."""

    def __init__(self) -> None:
        self.free: set[UUID] = set()
        self.published: list[UUID] = []
        self.marked: list[tuple[UUID, int | None]] = []
        self.dispatch = Dispatch(self, self.publish, dict, window=8, pace=Pace())

    async def ask(self, task_id: UUID, position: int) -> None:
        """Somebody asks for a round."""
        await self.dispatch.account(event(task_id, position, Task.Requested.TOPIC))

    async def publish(self, message) -> None:
        """As the broker has it."""
        self.published.append(message.task_id)
        if message.task_id in self.free:
            taken = event(message.task_id, message.position + 1000, Task.Dequeued.TOPIC)
            await self.dispatch.account(taken)

    async def mark_queued(self, task_id, _version, *, queue_position, **_more) -> None:
        """As the application has it."""
        self.marked.append((task_id, queue_position))


@pytest.mark.parametrize("free", [0, 1, 4])
async def test_what_a_free_processor_takes_is_not_marked(free):
    """Its claim says so; the others are told their places among those that wait."""
    its = Processors()
    tasks = [uuid4() for _ in range(6)]
    its.free = set(tasks[:free])
    for position, task_id in enumerate(tasks):
        await its.ask(task_id, position)

    async def all_marked() -> None:
        await until(lambda: len(its.marked) >= len(tasks) - free)

    await first_of(its.dispatch.run(), its.dispatch.mark(), all_marked())
    assert its.published == tasks
    assert its.marked == [(task_id, n) for n, task_id in enumerate(tasks[free:], 1)]
