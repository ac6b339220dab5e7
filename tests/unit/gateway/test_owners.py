"""Whose a task is, also after the log has lost what says so."""

from __future__ import annotations

from uuid import UUID

from gateway.streams.owners import Owners
from tts.application.tasks import NOBODY
from tts.domain.task import Task
from tts.ports.log import Recorded

TASK = UUID(int=1)
REQUESTED = Recorded(1, TASK, 1, Task.Requested.TOPIC, b'{"owner": "ann", "template_id": "t1"}')
SUCCEEDED = Recorded(2, TASK, 2, Task.Succeeded.TOPIC, b"{}")


class Log:
    """What there is of the task."""

    def __init__(self, *events: Recorded) -> None:
        self.events = list(events)

    async def of(self, _: UUID) -> list[Recorded]:
        """Its events."""
        return self.events


async def test_the_first_event_says_whose_a_task_is():
    """A later one is enough to ask."""
    owners = Owners(Log(REQUESTED, SUCCEEDED).of)
    assert await owners.of([SUCCEEDED]) == {TASK: "ann"}


async def test_it_says_the_template_too():
    """Of tasks that were asked about."""
    owners = Owners(Log(REQUESTED, SUCCEEDED).of)
    assert owners.template_of(TASK) is None
    await owners.of([SUCCEEDED])
    assert owners.template_of(TASK) == "t1"


async def test_a_task_without_its_first_event_is_nobodys():
    """Whether the log has kept later ones or none at all; the others' events go on."""
    for log in (Log(), Log(SUCCEEDED)):
        assert await Owners(log.of).of([SUCCEEDED]) == {TASK: NOBODY}


async def test_a_request_that_comes_back_has_its_owner_again():
    """A worker appends what it knows of a task whose history was lost."""
    log = Log(SUCCEEDED)
    owners = Owners(log.of)
    await owners.of([SUCCEEDED])
    log.events.insert(0, REQUESTED)
    assert await owners.of([SUCCEEDED]) == {TASK: "ann"}
