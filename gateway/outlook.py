"""Who comes when: the places of tasks that wait, as the leading relay told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

from tts.application.turns import Turns
from tts.domain.task import Task
from tts.observability.overview import turns_of
from tts.ports.errors import Unavailable
from tts.ports.log import Recorded
from tts.ports.roster import Roster
from tts.wire import Wait

LOOK_SECONDS = 1.0  # the relay tells every other second
ROUNDS = frozenset({Task.Requested.TOPIC, Task.RetryRequested.TOPIC})
WAITING = ROUNDS | {Task.Queued.TOPIC}


class Outlook:
    """Looks when it is asked, once a second at most."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._looking = asyncio.Lock()
        self._looked = float("-inf")
        self._turns: Turns | None = None

    async def of(self, task: Task, events: Sequence[Recorded]) -> Wait:
        """How long the task with these events will wait; nothing of one that does not wait."""
        if events[-1].topic not in WAITING:
            return {}
        turns = await self._look()
        place = None
        if turns is not None:
            begin = max(n for n, event in enumerate(events) if event.topic in ROUNDS)
            positions = [event.position for event in events[begin:]]
            place = turns.place(positions, owner=task.owner, priority=task.priority)
        if turns is None or place is None:
            return {"queuePosition": None, "estimatedWaitMs": None}
        return {"queuePosition": place, "estimatedWaitMs": turns.wait_ms(place)}

    async def _look(self) -> Turns | None:
        async with self._looking:  # whoever comes meanwhile is content with the same answer
            if monotonic() - self._looked >= LOOK_SECONDS:
                try:
                    self._turns = turns_of(await self._roster.read())
                except Unavailable:
                    self._turns = None
                self._looked = monotonic()
            return self._turns
