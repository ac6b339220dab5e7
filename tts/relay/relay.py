"""From the log to the queue: every event that orders something is published, then marked.

The log is the outbox, and the relay a fair scheduler over it: cancellations, retries and dead
letters leave at once, while rounds of work wait for their turn (:mod:`tts.relay.dispatch`). A crash
between a publication and the checkpoint publishes again; a processor recognises the duplicate.
Nothing else publishes.

A leadership first recalls what was before it. Where that takes long, as with a long log and no
checkpoint, new work is served meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tts.application.tasks import Application
from tts.application.turns import Turns
from tts.domain.task import Task
from tts.patience import Outage, first_of, lead
from tts.ports.coordination import Coordination
from tts.ports.epochs import WentBack
from tts.ports.errors import Unavailable
from tts.ports.log import Log
from tts.ports.queue import Message, Publisher
from tts.relay.dispatch import Dispatch
from tts.relay.messages import AT_ONCE, order
from tts.relay.pace import Pace
from tts.relay.rescue import Figures, Rescue
from tts.relay.unfinished import ROUNDS

NAME = "relay"
CHECKPOINT_SECONDS = 1.0  # what is published again after a crash
RECALL_SECONDS = 1.0  # so long new work waits for the turns that older work has
# Only what takes a task out of the window or the backlog is followed besides the orders.
FOLLOWED = ROUNDS | AT_ONCE | {Task.Dequeued.TOPIC}


class Relay:
    """Publishes while it leads; any number of others stand by.

    At most ``window`` rounds of work wait in the broker's queue, rescues apart.
    ``watchdog_seconds`` is how long nothing may happen to a task before it is suspicious.
    ``observe`` gets None when this process leads no longer: it knows nothing any more.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        coordination: Coordination,
        publisher: Publisher,
        *,
        window: int,
        watchdog_seconds: float,
        observe: Callable[[Figures | None], None] = lambda _: None,
    ) -> None:
        self._application = application
        self._log = log
        self._coordination = coordination
        self._publisher = publisher
        self._window = window
        self._patience = watchdog_seconds
        self._observe = observe
        self._outage = Outage("Messages cannot be published")
        self.position = 0  # what it orders is published, up to here
        self.leading = False
        self.figures: Figures | None = None
        self._dispatch: Dispatch | None = None
        self._pace = Pace()
        self._followed = self._published = 0
        self._recalled = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def followed(self) -> int:
        """Up to where it has taken the log into account, also while it recalls what was before."""
        return max(self.position, self._followed)

    async def run(self) -> None:
        """Wait for the leadership, publish, and start over when it is lost; until canceled."""
        await lead(self._coordination, NAME, self._lead)

    async def rebuild(self) -> None:
        """Put every unfinished task back into the queue, whoever leads; for before :meth:`run`.

        Those whose turn has not come yet get their messages from the one who leads.
        """
        ordered = await self._coordination.checkpoint(NAME)
        until = await self._log.position()
        _, rescue = self._begin()
        await rescue.recall(ordered, until)
        await rescue.republish()
        await rescue.remember()
        await self._coordination.save_checkpoint(NAME, until)

    def notes(self) -> list[str]:
        """What an operator should know: that tasks of before are not all taken up yet."""
        if not self.leading or self._recalled.is_set():
            return []
        return ["recalling: older tasks are being looked for in the log; new ones are served"]

    def learn(self, places: int, busy: int) -> None:
        """Take into account how many places the processors have, and how many are taken."""
        self._pace.learn(places, busy, self._application.now().timestamp())

    def turns(self) -> Turns | None:
        """Who has his turn when; None while this one does not lead, or does not know all yet."""
        if self._dispatch is None or not self._recalled.is_set():
            return None
        return self._dispatch.turns(self.followed)

    async def _lead(self) -> None:
        self._recalled.clear()
        self.leading = True
        try:
            ordered = await self._coordination.checkpoint(NAME)
            self.position = ordered
            self._followed = self._published = await self._log.position(ordered)
            await self._relay(*self._begin())
        except WentBack as error:  # what we know of the tasks is not so any more: begin anew
            raise Unavailable(str(error)) from error
        finally:
            self.leading = False
            self._dispatch = None
            self._show(None)

    def _show(self, figures: Figures | None) -> None:
        self.figures = figures
        self._observe(figures)

    def _begin(self) -> tuple[Dispatch, Rescue]:
        """What knows nothing of an earlier leadership."""
        self._pace = Pace()
        dispatch = Dispatch(
            self._application,
            self._publish,
            self._publisher.ready,
            window=self._window,
            pace=self._pace,
        )
        rescue = Rescue(
            self._application,
            self._log,
            self._coordination,
            self._publisher,
            self._publish,
            dispatch,
            pace=self._pace,
            patience=self._patience,
            observe=self._show,
        )
        return dispatch, rescue

    async def _relay(self, dispatch: Dispatch, rescue: Rescue) -> None:
        self._dispatch = dispatch
        try:
            await first_of(
                self._look_after(rescue),
                self._follow(dispatch, rescue),
                dispatch.run(),
                dispatch.mark(),
            )
        finally:
            with contextlib.suppress(Unavailable, WentBack):  # what it costs is a few duplicates
                await self._coordination.save_checkpoint(NAME, self.position)

    async def _look_after(self, rescue: Rescue) -> None:
        """Take over what was before this leadership, and look after all that is not over."""
        ordered, began = self.position, self._followed
        await rescue.recall(ordered, began)
        with contextlib.suppress(Unavailable):  # watching finds out, and says why
            await rescue.restore()
        async with self._turn:  # nothing is followed until the two agree
            await rescue.hand_over(self._followed)
        await rescue.make_up(ordered, began)
        self._recalled.set()
        self.position = self._published
        await first_of(rescue.watch(), self._save_checkpoints())

    async def _follow(self, dispatch: Dispatch, rescue: Rescue) -> None:
        """Publish what is urgent, and tell of the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECALL_SECONDS):
                await self._recalled.wait()
        async for events in self._log.follow(self._followed, batch=200, topics=FOLLOWED):
            async with self._turn:
                for event in events:
                    await dispatch.account(event)
                self._followed = events[-1].position
            urgent = [
                message
                for event in events
                if event.topic in AT_ONCE
                and not rescue.has_republished(event)
                and (message := order(event, now=None))
            ]
            await asyncio.gather(*map(self._publish, urgent))
            self._published = events[-1].position
            if self._recalled.is_set():
                self.position = self._published

    async def _publish(self, message: Message) -> None:
        await self._outage.wait_out(
            lambda: self._publisher.publish(message),
            about={"task_id": str(message.task_id), "position": message.position},
        )

    async def _save_checkpoints(self) -> None:
        saved: int | None = None
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if self.position != saved:
                with contextlib.suppress(Unavailable):  # the next one says it again
                    await self._coordination.save_checkpoint(NAME, self.position)
                    saved = self.position
