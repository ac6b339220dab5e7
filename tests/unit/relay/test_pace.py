"""How fast those who wait have their turns."""

from uuid import uuid4

from tts.relay.pace import MEMORY_SECONDS, Pace


def worked(pace: Pace, began: float, ended: float) -> None:
    task_id = uuid4()
    pace.claimed(task_id, began)
    pace.released(task_id, ended)


def per_turn(pace: Pace, places: int, now: float, busy: int = 0) -> float | None:
    pace.learn(places, busy, now)
    return pace.seconds_per_turn


def test_nothing_is_known_before_anything_has_ended():
    """Nor where there is no processor."""
    pace = Pace()
    assert per_turn(pace, 8, 0.0) is None
    pace.claimed(uuid4(), 0.0)
    assert per_turn(pace, 8, 5.0) is None
    worked(pace, 0.0, 10.0)
    assert per_turn(pace, 0, 10.0) is None


def test_a_turn_comes_as_often_as_a_place_is_free_again():
    """Eight places, each taken for 20 s: a turn in 2.5 s, however they were filled at first."""
    pace = Pace()
    for _ in range(8):
        worked(pace, 0.0, 20.0)
    assert per_turn(pace, 8, 20.0) == 2.5


def test_what_goes_on_for_long_slows_it_down():
    """In an outage nothing ends: what is known of before tells less and less."""
    pace = Pace()
    worked(pace, 0.0, 10.0)
    pace.claimed(uuid4(), 10.0)
    assert per_turn(pace, 1, 15.0) == 10.0
    assert per_turn(pace, 1, 40.0) == 20.0
    assert per_turn(pace, 1, 11.0 + MEMORY_SECONDS) is None


def test_a_task_that_was_given_up_holds_no_place():
    """It counts from its next claim on; an end without a claim tells nothing."""
    pace, task_id = Pace(), uuid4()
    worked(pace, 0.0, 10.0)
    pace.claimed(task_id, 0.0)
    pace.forget(task_id)
    pace.released(task_id, 100.0)
    assert per_turn(pace, 1, 100.0) == 10.0


def test_free_places_are_those_that_nobody_has():
    """A full queue says that there are none, whatever the processors told a moment ago."""
    pace = Pace()
    worked(pace, 0.0, 8.0)
    pace.learn(4, 1, 8.0)
    assert [pace.wait_ms(place, is_full=False) for place in (1, 3, 4)] == [0, 0, 2000]
    assert pace.wait_ms(1, is_full=True) == 2000
    pace.learn(4, 6, 8.0)
    assert pace.free == 0
