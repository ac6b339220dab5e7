"""Places of requests that are under way: each counts once, whoever is first to know."""

from __future__ import annotations

from gateway.taken import CountedPlace, Taken

DAY = "2026-03-01"


def place(taken: Taken, owner: str = "ann") -> CountedPlace:
    return CountedPlace(taken, owner, DAY, 5)


def seen(taken: Taken, position: int, *, tasks: int = 1, characters: int = 5) -> None:
    taken.see(position, "ann", DAY, tasks, characters)


def test_a_place_is_given_back_when_its_request_fails():
    """Nothing is left of it, not even an entry."""
    taken = Taken()
    with place(taken):
        assert (taken.unfinished["ann"], taken.characters["ann", DAY]) == (1, 5)
    assert not taken.unfinished
    assert not taken.characters


def test_a_place_counts_until_its_event_is_seen():
    """From then on the event does."""
    taken = Taken()
    with place(taken) as mine:
        mine.recorded(7)
    assert taken.unfinished["ann"] == 1
    seen(taken, 7)
    assert (taken.unfinished["ann"], taken.characters["ann", DAY]) == (1, 5)
    seen(taken, 8, tasks=-1, characters=0)
    assert taken.unfinished["ann"] == 0


def test_a_place_whose_event_was_seen_first_counts_no_longer():
    """The log can be faster than the answer."""
    taken = Taken()
    with place(taken) as mine:
        seen(taken, 7)
        mine.recorded(7)
    assert taken.unfinished["ann"] == 1


def test_two_places_of_one_event_are_one_task():
    """A request and its repetition, before the event is seen."""
    taken = Taken()
    with place(taken) as mine:
        mine.recorded(7)
    with place(taken) as again:
        again.recorded(7)
    assert taken.unfinished["ann"] == 1
    seen(taken, 7)
    assert (taken.unfinished["ann"], taken.characters["ann", DAY]) == (1, 5)


def test_a_request_counts_for_the_day_that_its_event_says():
    """Midnight may pass between the two."""
    taken = Taken()
    with place(taken) as mine:
        mine.recorded(7)
    taken.see(7, "ann", "2026-03-02", 1, 5)
    assert taken.characters == {("ann", "2026-03-02"): 5}


def test_days_that_are_over_take_no_room():
    """Whatever owners there were."""
    taken = Taken(3, {"ann": 1}, {("ann", "2026-02-27"): 5, ("bob", DAY): 6})
    taken.forget_before("2026-02-28")
    assert taken.characters == {("bob", DAY): 6}
    assert taken.unfinished == {"ann": 1}
