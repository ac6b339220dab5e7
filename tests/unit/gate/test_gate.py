"""The gate of one process: who waits, who is told, and what an outage of the store does."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

from tests.waiting import until
from tts.domain.failures import StepError, lookup
from tts.gate import facts
from tts.gate.gate import Gate
from tts.gate.state import Breaker, Limits
from tts.ports.errors import Unavailable
from tts.store.memory import MemoryDocuments

PATIENCE_SECONDS = 30.0
FOREVER = datetime.now(UTC) + timedelta(hours=1)


def refusal(code="replicate_unauthorized", **more):
    return StepError(code, "create", "Replicate answered so", **more)


def gate(documents=None, **limits):
    return Gate(documents or MemoryDocuments(), Limits(**limits))


async def admitted(gate, key, *, until=FOREVER, changed=None):
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await gate.admit(key, until=until, changed=changed or asyncio.Event())


async def waits(gate, count):
    async def so_many():
        return (await gate.state())["waiting"] == count

    await until(so_many, f"{count} wait")


async def test_many_come_and_go_one_after_the_other():
    """Whoever comes just when the gate has run out of work is served all the same."""
    one = gate()
    for number in range(200):
        assert await admitted(one, f"task:{number}")
        await one.settle(f"task:{number}", None)
        one.leave(f"task:{number}")
    assert (await one.state())["inFlight"] == 0


async def test_who_waits_for_a_place_gets_it_in_the_order_of_arrival():
    """A place that is given back wakes the one who has waited longest."""
    one = gate(in_flight=1)
    assert await admitted(one, "first")
    order = []

    async def enter(key):
        assert await admitted(one, key)
        order.append(key)
        one.leave(key)

    entering = []
    for number, key in enumerate(("second", "third", "fourth"), 1):
        entering.append(asyncio.create_task(enter(key)))
        await waits(one, number)
    one.leave("first")
    await asyncio.gather(*entering)
    assert order == ["second", "third", "fourth"]


async def test_news_of_the_task_ends_its_wait():
    """A task that is canceled while it waits does not keep its place in the queue."""
    one, changed = gate(in_flight=1), asyncio.Event()
    assert await admitted(one, "first")
    waiting = asyncio.create_task(admitted(one, "second", changed=changed))
    await waits(one, 1)
    changed.set()
    assert not await waiting
    assert (await one.state())["waiting"] == 0


async def test_the_deadline_ends_the_wait():
    """Nobody waits beyond the end of his task."""
    one = gate(in_flight=1)
    assert await admitted(one, "first")
    assert not await admitted(one, "second", until=datetime.now(UTC) + timedelta(seconds=0.1))


async def test_a_waiter_that_is_stopped_takes_no_place_with_it():
    """A permit that nobody is there to use is given back."""
    one = gate(in_flight=1)
    stopped = asyncio.create_task(one.admit("gone", until=FOREVER, changed=asyncio.Event()))
    await asyncio.sleep(0)  # it has asked, and the answer is under way
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    assert await admitted(one, "next")


async def test_a_refused_token_shuts_the_gate_for_all_and_one_probe_opens_it():
    """Two processes on one state: after 401 one creation is tried, and its success frees all."""
    documents = MemoryDocuments()
    one, other = gate(documents), gate(documents)
    assert await admitted(one, "a")
    await one.settle("a", refusal())
    state = await other.state()
    assert (state["state"], state["reason"]["code"]) == ("open", "replicate_unauthorized")
    rest = [
        asyncio.create_task(admitted(g, key)) for g, key in ((one, "b"), (one, "c"), (other, "d"))
    ]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
    assert sum(task.done() for task in rest) == 1
    key = next(k for k, task in zip("bcd", rest, strict=True) if task.done())
    assert (await other.state())["state"] == "half-open"
    await one.settle(key, None)
    assert all(await asyncio.gather(*rest))
    assert (await other.state())["state"] == "closed"


async def test_the_log_says_why_creations_pause_what_to_do_and_when_they_flow_again(caplog):
    """One warning at the trip, with the failure table's advice, and one line at the recovery."""
    caplog.set_level("INFO", "tts.gate")
    one = gate()
    assert await admitted(one, "a")
    await one.settle("a", refusal())
    (trip,) = caplog.records
    assert (trip.levelname, trip.code) == ("WARNING", "replicate_unauthorized")
    assert "Replicate answered so" in trip.message
    assert lookup("replicate_unauthorized", "create").action in trip.message
    caplog.clear()
    assert await admitted(one, "b")
    await one.settle("b", None)
    (recovery,) = caplog.records
    assert recovery.levelname == "INFO"
    assert recovery.message.startswith("Creations flow again")


async def test_the_gate_tells_its_observer_what_it_sees():
    """Who waits, what the shared state is, and that this process tripped the breaker."""
    reports = []
    one = Gate(MemoryDocuments(), Limits(in_flight=1), observe=reports.append)
    assert await admitted(one, "a")
    waiting = asyncio.create_task(admitted(one, "b"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while facts.Waiting(1) not in reports:
            await asyncio.sleep(0.01)
    assert facts.Figures(Breaker.CLOSED, 1, math.inf) in reports
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert reports[-1] == facts.Waiting(0)
    await one.settle("a", refusal())
    assert facts.Trip("replicate_unauthorized") in reports
    assert facts.Figures(Breaker.OPEN, 0, math.inf) in reports


async def test_a_rate_that_replicate_names_is_kept():
    """With little credit Replicate allows six a minute, and says so."""
    one = gate(creates_per_minute=600)
    assert await admitted(one, "a")
    words = "reduced to 6 requests per minute with a burst of 1 requests"
    await one.settle("a", StepError("replicate_throttled", "create", words))
    assert (await one.state())["createsPerMinute"] == 6


class Flaky(MemoryDocuments):
    """Does not answer while it is down."""

    down = False

    async def update(self, name, change):
        """Update, or not."""
        if self.down:
            raise Unavailable("down")
        return await super().update(name, change)


async def test_an_outage_of_the_store_loses_no_return():
    """What is given back meanwhile is free when the store is back, and nobody was held up."""
    documents = Flaky()
    one = gate(documents, in_flight=1)
    assert await admitted(one, "a")
    documents.down = True
    one.leave("a")
    waiting = asyncio.create_task(admitted(one, "b"))
    await asyncio.sleep(0)
    documents.down = False
    assert await waiting


async def test_what_nobody_waits_for_is_said_with_what_comes_next():
    """One look at the shared state for a return and the next admission, and before long anyway."""
    documents = Counted()
    one, other = gate(documents), gate(documents)
    assert await admitted(one, "a")
    one.leave("a")
    assert await admitted(one, "b")
    assert documents.updates == 2
    one.leave("b")

    async def heard():
        return (await other.state())["inFlight"] == 0

    await until(heard, "the other process hears of it")


async def test_a_gate_that_closes_says_what_is_left_to_say():
    """A place is not lost because a process ends in good order."""
    documents = MemoryDocuments()
    one = gate(documents)
    assert await admitted(one, "a")
    one.leave("a")
    await one.aclose()
    assert (await gate(documents).state())["inFlight"] == 0


class Counted(MemoryDocuments):
    """Counts looks."""

    updates = 0

    async def update(self, name, change):
        """Update."""
        self.updates += 1
        return await super().update(name, change)
