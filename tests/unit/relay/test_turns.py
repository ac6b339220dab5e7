"""Who is told which place, and how long it waits."""

from random import Random
from uuid import uuid4

import orjson
import pytest

from tests.unit.relay.queues import fill, order
from tts.application.turns import Turns, wait_ms
from tts.domain.values import WEIGHTS, Priority
from tts.relay.fair_queue import LINES_MAX, FairQueue, Round

FOLLOWED = 10**6


def turns_in(queue: FairQueue, published=(), seconds_per_turn=None, free=0) -> Turns:
    """As it arrives elsewhere, through JSON."""
    lines, rest = queue.lines()
    turns = Turns(FOLLOWED, list(published), lines, rest, seconds_per_turn, free)
    return Turns.of(orjson.loads(orjson.dumps(turns.facts())))


def places(queue: FairQueue, owners, **more) -> dict[int, int | None]:
    """The place that each of the rounds is told, by its position."""
    turns = turns_in(queue, **more)
    return {
        position: turns.place([position], owner=owner, priority=priority)
        for position, (owner, priority) in owners.items()
    }


@pytest.mark.parametrize("seed", range(10))
def test_owners_of_one_priority_are_told_their_very_places(seed):
    """Whatever the lengths of their lines, and whoever's turn was last."""
    random = Random(seed)
    queue, owners = fill(
        *((f"o{n}", "normal", random.randrange(1, 40)) for n in range(random.randrange(1, 9)))
    )
    for _ in range(random.randrange(len(owners))):
        del owners[queue.pop().position]
    said = places(queue, owners, published=[7_000_001, 7_000_002])
    for number, position in enumerate(order(queue), 3):
        assert said[position] == number


@pytest.mark.parametrize("seed", range(10))
def test_with_several_priorities_a_place_is_true_to_a_few_turns(seed):
    """They are interleaved, and where one begins depends on what was before."""
    random = Random(seed)
    queue, owners = fill(
        *(
            (f"o{n}", random.choice([*WEIGHTS]), random.randrange(1, 60))
            for n in range(random.randrange(3, 12))
        )
    )
    for _ in range(random.randrange(len(owners) // 2)):
        del owners[queue.pop().position]
    said = places(queue, owners)
    for number, position in enumerate(order(queue), 1):
        assert abs(said[position] - number) <= 4


def test_a_long_line_is_told_to_a_hundredth_in_a_few_kilobytes():
    """Ten thousand wait; one of another owner is next or the one after."""
    queue, owners = fill(("many", "normal", 10_000), ("one", "normal", 1))
    assert len(orjson.dumps(turns_in(queue).facts())) < 8_000
    said = places(queue, {n: owners[n] for n in range(0, 10_001, 40)} | {9_999: owners[9_999]})
    turns = {position: number for number, position in enumerate(order(queue), 1)}
    for position, place in said.items():
        assert abs(place - turns[position]) <= 100
    assert said[10_000] == 2


def test_what_is_told_stays_small_however_many_owners_there_are():
    """Those whose turns come late are not told a place, and nobody is told a wrong one."""
    queue, owners = fill(*((f"o{n}", "normal", 3) for n in range(1_000)))
    assert len(orjson.dumps(turns_in(queue).facts())) < 24_000
    said = places(queue, owners)
    known = [
        (number, said[position])
        for number, position in enumerate(order(queue), 1)
        if said[position] is not None
    ]
    assert len(known) == LINES_MAX * 3
    assert all(number == place for number, place in known)


def test_what_is_younger_than_the_news_stands_behind_its_owners_line():
    """So a task that has just been accepted has a place at once."""
    queue, _ = fill(("me", "normal", 3), ("you", "normal", 1))
    turns = turns_in(queue)
    assert turns.place([FOLLOWED + 1], owner="me", priority="normal") == 5
    assert turns.place([FOLLOWED + 1], owner="new", priority="normal") == 3
    assert turns.place([FOLLOWED + 1], owner="new", priority="high") == 1
    assert turns.place([FOLLOWED + 1], owner="new", priority="low") == 2


def test_what_is_with_the_broker_comes_first():
    """Found by the event that asked for it, or by the one that says that it was queued."""
    queue, owners = fill(("me", "normal", 2))
    said = turns_in(queue, published=[90, 80])
    assert said.place([90], owner="me", priority="normal") == 1
    assert said.place([70, 80], owner="me", priority="normal") == 2
    assert {said.place([p], owner="me", priority="normal") for p in owners} == {3, 4}
    assert said.waiting == 4


def test_who_does_not_wait_has_no_place():
    """It was taken in between: nobody makes one up."""
    queue, _ = fill(("me", "normal", 3))
    assert turns_in(queue).place([500], owner="me", priority="normal") is None
    assert turns_in(queue).place([500], owner="you", priority="normal") is None


def test_a_line_out_of_order_is_found_all_the_same():
    """After a long recall older tasks stand behind newer ones."""
    queue = FairQueue()
    for position in (9, 10, 1, 2):
        queue.add(Round(uuid4(), position, 1), owner="me", priority=Priority.NORMAL)
    said = turns_in(queue)
    found = [said.place([p], owner="me", priority="normal") for p in (9, 10, 1, 2)]
    assert found == [1, 2, 3, 4]


def test_a_wait_is_a_number_of_turns():
    """Those for whom a place is free do not wait; while the speed is unknown, nobody knows."""
    assert [wait_ms(place, 2, 1.5) for place in (1, 2, 3, 12)] == [0, 0, 1500, 15_000]
    assert [wait_ms(place, 1, None) for place in (1, 2)] == [0, None]
