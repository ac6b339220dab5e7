"""A relay over a real store, with a broker that does what a test tells it."""

import asyncio
import contextlib

from tests.builders import application
from tts.ports.errors import Unavailable
from tts.ports.queue import Destination
from tts.relay.relay import Relay
from tts.wire import UPDATES


class Broker:
    """Keeps what it was given; it can be away, and it can be slow to say that it has it."""

    def __init__(self, *, marked=True) -> None:
        self.messages = []
        self.away = False
        self.refused = 0
        self.marks = marked
        self.in_queue = dict.fromkeys(Destination, 10**6)

    async def publish(self, message) -> None:
        """Take it, or say that we are away."""
        if self.away:
            self.refused += 1
            raise Unavailable("the broker is away")
        self.messages.append(message)

    async def ready(self):
        """As many as the test says: by default nothing seems to be missing."""
        return self.in_queue

    async def marked(self) -> bool:
        """Whether the relay marked us."""
        if self.away:
            raise Unavailable("the broker is away")
        return self.marks

    async def mark(self) -> None:
        """Be marked."""
        self.marks = True

    def tasks(self, destination=Destination.WORK):
        """The ids of the tasks that were sent there, in order."""
        return [m.task_id for m in self.messages if m.destination is destination]


@contextlib.asynccontextmanager
async def relaying(
    store,
    broker,
    *,
    window=1000,
    watchdog_seconds=3600.0,
    observe=lambda _: None,
    rebuild=False,
):
    """A relay that runs while the context is open; with ``rebuild`` it first fills the queue."""
    relay = Relay(
        application(store),
        store,
        store,
        broker,
        window=window,
        watchdog_seconds=watchdog_seconds,
        observe=observe,
    )
    if rebuild:
        await relay.rebuild()
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.wait([running])


async def statuses(store, task_id) -> list[str]:
    return [UPDATES[event.topic][0].value for event in await store.events(task_id)]


async def requested(store, count):
    app = application(store)
    return [(await app.request(template_id="t", text=str(n)))[0].id for n in range(count)]


async def queued(store, task_id) -> bool:
    """Whether the log says that the broker has its message."""
    return "queued" in await statuses(store, task_id)
