"""Outages are waited out with one warning, and leaderships are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from tts.patience import LONGEST_SECONDS, SHORTEST_SECONDS, Outage, first_of, lead
from tts.ports.errors import Unavailable

PATIENCE_SECONDS = 30.0


class Time:
    """A clock that goes on only while somebody sleeps, without any real waiting."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Service:
    """Is away for its first ``failures`` calls."""

    def __init__(self, failures: float) -> None:
        self.failures = failures
        self.calls = 0

    async def work(self) -> str:
        """Answer, or be away."""
        self.calls += 1
        if self.calls <= self.failures:
            raise Unavailable(f"call {self.calls} failed")
        return "answer"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(autouse=True)
def _log(caplog) -> None:
    caplog.set_level(logging.INFO, "tts.patience")


def lines(caplog) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def outage(time: Time, trouble: str = "The log cannot be read") -> Outage:
    return Outage(trouble, clock=time, sleep=time.sleep)


# --- waiting out


async def test_an_outage_is_warned_of_once_and_its_end_is_said(time, caplog):
    """Twenty failures are two lines, and both say what it is about."""
    it = outage(time)
    assert await it.wait_out(Service(20).work, about={"task_id": "7"}) == "answer"
    warning, end = lines(caplog)
    assert warning == ("WARNING", "The log cannot be read, trying again: call 1 failed")
    assert end[0] == "INFO"
    assert end[1].startswith("The log cannot be read: over after ")
    assert {record.task_id for record in caplog.records} == {"7"}


async def test_what_works_is_not_talked_about(time, caplog):
    """Neither a pause nor a line."""
    assert await outage(time).wait_out(Service(0).work) == "answer"
    assert (time.pauses, lines(caplog)) == ([], [])


async def test_pauses_grow_with_the_outage_up_to_a_cap(time):
    """They begin short, each is about as long as the outage has lasted, and none is too long."""
    await outage(time).wait_out(Service(30).work)
    lasted = 0.0
    for pause in time.pauses:
        most = min(max(lasted, SHORTEST_SECONDS), LONGEST_SECONDS)
        assert most / 2 <= pause <= most * 1.001
        lasted += pause
    assert time.pauses[-1] >= LONGEST_SECONDS / 2


async def test_a_new_outage_begins_with_short_pauses_and_its_own_warning(time, caplog):
    """Provided that there was peace in between."""
    it = outage(time)
    await it.wait_out(Service(20).work)
    time.now += LONGEST_SECONDS + 0.1
    time.pauses.clear()
    await it.wait_out(Service(1).work)
    assert time.pauses[0] <= SHORTEST_SECONDS
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"] * 2


async def test_what_breaks_at_once_again_gets_no_short_pauses(time):
    """A server that takes connections and drops them is not connected to again and again."""
    it = outage(time)
    await it.wait_out(Service(20).work)
    assert it.failed(Unavailable("dropped")) >= LONGEST_SECONDS / 2


async def test_many_who_wait_for_one_service_make_one_warning(time, caplog):
    """A thousand messages that cannot be published are one outage."""
    it, services = outage(time), [Service(5) for _ in range(1000)]
    await asyncio.gather(*(it.wait_out(service.work) for service in services))
    assert [level for level, _ in lines(caplog)].count("WARNING") == 1


async def test_the_success_of_others_does_not_end_the_outage_of_one(time, caplog):
    """One message that is refused again and again is said once, however many go well meanwhile."""
    it, refused = outage(time), Service(20)
    waiting = asyncio.create_task(it.wait_out(refused.work))
    while not waiting.done():
        await it.wait_out(Service(0).work)
        await asyncio.sleep(0)
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"]


async def test_patience_can_have_an_end(time):
    """The last failure is raised when the time is over, and not much later nor sooner."""
    began, service = time.now, Service(float("inf"))
    with pytest.raises(Unavailable, match=r"call \d+ failed"):
        await outage(time).wait_out(service.work, at_most=5.0)
    assert time.now - began == pytest.approx(5.0)


async def test_only_what_is_away_is_waited_for(time, caplog):
    """A defect is raised at once."""

    async def work() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await outage(time).wait_out(work)
    assert lines(caplog) == []


async def test_who_waits_can_be_canceled():
    """During a pause as well as during the work."""
    away = asyncio.create_task(Outage("Away").wait_out(Service(float("inf")).work))
    slow = asyncio.create_task(Outage("Slow").wait_out(asyncio.Event().wait))
    await asyncio.sleep(0.01)
    for waiting in (away, slow):
        waiting.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_without_a_trouble_nothing_is_logged(time, caplog):
    """Who gives up after a while says so himself."""
    await outage(time, "").wait_out(Service(3).work)
    assert lines(caplog) == []


# --- leading


class Leaderships:
    """Gives the leadership to whoever asks, and takes it away when told; can be away at first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.given = 0
        self.held = False
        self.taken = asyncio.Event()

    @contextlib.asynccontextmanager
    async def leadership(self, _name: str):
        """Lead."""
        if self.failures:
            self.failures -= 1
            raise Unavailable("no connection")
        self.given += 1
        self.held = True
        self.taken.clear()
        try:
            yield self
        finally:
            self.held = False

    async def lost(self) -> None:
        """Wait until it is taken."""
        await self.taken.wait()


async def test_the_work_is_done_while_the_leadership_lasts(caplog):
    """It stops when the leadership is lost, and begins anew with the next one."""
    leaderships, states = Leaderships(failures=2), []

    async def work() -> None:
        states.append("begun")
        try:
            if leaderships.given == 3:
                return
            if leaderships.given == 2:
                raise Unavailable("the broker is away")
            leaderships.taken.set()
            await asyncio.Event().wait()
        finally:
            assert leaderships.held
            states.append("ended")

    async with asyncio.timeout(PATIENCE_SECONDS):
        await lead(leaderships, "relay", work)
    assert states == ["begun", "ended"] * 3
    assert not leaderships.held
    messages = [message for _, message in lines(caplog)]
    for reason in ("no connection", "the leadership is lost", "the broker is away"):
        assert f"The relay is interrupted, trying again: {reason}" in messages


async def test_who_leads_can_be_canceled():
    """The work is canceled first, then the leadership is given back."""
    leaderships, canceled = Leaderships(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            canceled.append(leaderships.held)
            raise

    leading = asyncio.create_task(lead(leaderships, "relay", work))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not leaderships.held:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        leading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leading
    assert (canceled, leaderships.held) == ([True], False)


# --- the first of several


async def test_the_first_that_ends_cancels_the_others():
    """Which one it was is returned, and nothing runs on."""
    other = asyncio.create_task(asyncio.Event().wait())
    assert await first_of(other, asyncio.sleep(0), asyncio.Event().wait()) == 1
    assert other.cancelled()


async def test_the_failure_of_one_ends_all():
    """And is raised."""
    other = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(Unavailable, match="away"):
        await first_of(other, _fail())
    assert other.cancelled()


async def _fail() -> None:
    raise Unavailable("away")


async def test_a_cancellation_that_the_work_has_lost_is_heeded():
    """As ``asyncio.wait_for`` loses one that meets the answer; whoever canceled does not wait."""

    async def deaf() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "the answer"

    async def deaf_and_failing() -> str:
        await deaf()
        raise Unavailable("gone")

    for work in (deaf, deaf_and_failing):
        waiting = asyncio.create_task(Outage().wait_out(work))
        await asyncio.sleep(0.01)
        waiting.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait([waiting])
        assert waiting.cancelled()
