"""Whose turn it is."""

from collections import Counter
from itertools import islice
from uuid import UUID, uuid4

import pytest

from tts.relay.fair_queue import FairQueue, Round


def a_queue(*waiting: tuple[str, str, int]) -> tuple[FairQueue, dict[UUID, tuple[str, str]]]:
    """A queue with ``(owner, priority, how many)``, and whose each task is."""
    queue, owners = FairQueue(), {}
    for owner, priority, number in waiting:
        for _ in range(number):
            item = Round(uuid4(), position=len(owners), version=1)
            owners[item.task_id] = owner, priority
            queue.add(item, owner=owner, priority=priority)
    return queue, owners


def turns(queue: FairQueue):
    """Take turn after turn until nobody waits."""
    while queue:
        yield queue.pop()


def test_one_owners_tasks_come_in_the_order_of_their_requests():
    """First come, first served, where nobody else waits."""
    queue, _ = a_queue(("me", "normal", 5))
    assert [item.position for item in turns(queue)] == [0, 1, 2, 3, 4]


def test_a_single_task_does_not_wait_for_another_owners_many():
    """Two owners take turns, however many tasks one of them has."""
    queue, owners = a_queue(("many", "normal", 10_000), ("one", "normal", 1))
    first = [owners[item.task_id][0] for item in islice(turns(queue), 2)]
    assert sorted(first) == ["many", "one"]


def test_owners_share_evenly_while_they_wait():
    """Three owners with unequal lines get equal turns until the shortest line is empty."""
    queue, owners = a_queue(("a", "normal", 50), ("b", "normal", 20), ("c", "normal", 10))
    counted = Counter(owners[item.task_id][0] for item in islice(turns(queue), 30))
    assert counted == {"a": 10, "b": 10, "c": 10}


def test_priorities_share_four_to_two_to_one_and_none_starves():
    """In any seven turns while all wait; afterwards the rest gets everything."""
    queue, owners = a_queue(("me", "low", 100), ("me", "normal", 100), ("me", "high", 100))
    order = [owners[item.task_id][1] for item in turns(queue)]
    for start in range(0, 140, 7):
        assert Counter(order[start : start + 7]) == {"high": 4, "normal": 2, "low": 1}
    assert order[0] == "high"
    assert len(order) == 300


def test_what_is_taken_out_never_gets_a_turn():
    """A canceled task leaves the line; so does its owner when nothing else is in it."""
    queue, owners = a_queue(("a", "normal", 3), ("b", "high", 1))
    gone = [task_id for task_id, (owner, _) in owners.items() if owner == "b"]
    gone.append(next(iter(owners)))
    for task_id in [*gone, uuid4()]:
        queue.discard(task_id)
    assert queue.sizes() == {"high": 0, "normal": 2, "low": 0}
    assert [item.position for item in turns(queue)] == [1, 2]
    with pytest.raises(IndexError):
        queue.pop()


def test_a_task_has_one_place():
    """Asked for again it stands at the end, once."""
    queue, owners = a_queue(("a", "low", 2))
    again = Round(next(iter(owners)), position=9, version=5)
    queue.add(again, owner="a", priority="high")
    assert [item.position for item in turns(queue)] == [9, 1]
