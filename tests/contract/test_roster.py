"""The roster: every process sees who is at work, by the store's clock, on either database."""

import pytest

from tests.waiting import until
from tts.bootstrap import roster_of
from tts.ports.roster import Notice

RELAY = Notice("relay", "host-1", {"role": "leading"})
PROCESSORS = [Notice("processor", f"host-{n}", {"busy": n}) for n in (2, 3)]


@pytest.fixture
async def processes(backend):
    """The roster as two processes have it."""
    async with backend.store() as store, backend.store() as other:
        rosters = [roster_of(each) for each in (store, other)]
        yield rosters
        for roster in rosters:
            await roster.aclose()


async def who(roster):
    return {(each.notice.part, each.notice.name) for each in (await roster.read()).heard}


def let_pass_an_hour(backend):
    """Make everything that was told older."""
    hour = "3601" if backend.is_sqlite else "interval '3601 seconds'"
    backend.sql(f"UPDATE roster SET at = at - {hour} RETURNING 1")  # noqa: S608 -- of ours


async def test_who_tells_is_on_it_for_all(processes):
    """With what it told last, and how long ago."""
    here, there = processes
    await here.tell([RELAY, PROCESSORS[0]])
    await there.tell([PROCESSORS[1]])
    await here.tell([Notice("relay", "host-1", {"role": "standing by"})])
    attendance = await there.read()
    assert [each.notice for each in attendance.heard] == [
        PROCESSORS[0],
        PROCESSORS[1],
        Notice("relay", "host-1", {"role": "standing by"}),
    ]
    assert all(0 <= each.age < 10 for each in attendance.heard)
    assert attendance.last.keys() == {"relay", "processor"}
    await until(lambda: _older_than(there, 0.1), "the age grows by itself")


async def _older_than(roster, seconds):
    return (await roster.read()).heard[0].age > seconds


async def test_who_leaves_is_off_it_and_its_last_sign_stays(processes):
    """So that it can be said since when there is none."""
    here, there = processes
    await here.tell([RELAY, *PROCESSORS])
    await here.leave([RELAY])
    attendance = await there.read()
    assert {each.notice.part for each in attendance.heard} == {"processor"}
    last = {each.notice.name: each.at for each in attendance.heard}
    assert attendance.last["relay"] >= last["host-2"]


async def test_who_died_is_taken_off_after_an_hour(processes, backend):
    """By whoever tells next, and nobody else is."""
    here, there = processes
    await here.tell([RELAY, PROCESSORS[0]])
    let_pass_an_hour(backend)
    assert len(await who(there)) == 2
    await there.tell([PROCESSORS[1]])
    assert await who(here) == {("processor", "host-3")}


async def test_one_who_comes_back_after_an_hour_is_on_it(processes, backend):
    """A process that was frozen, or a machine that slept."""
    here, there = processes
    await here.tell([RELAY])
    let_pass_an_hour(backend)
    await here.tell([RELAY])
    assert await who(there) == {("relay", "host-1")}
