"""When a callback is tried again."""

from dataclasses import replace
from itertools import pairwise
from uuid import uuid4

import pytest

from tts.callbacks.schedule import PATIENCE_SECONDS, after_failure, after_reply
from tts.ports.callbacks import Callback, CallbackState, Reply

NEW = Callback(uuid4(), 9, "https://app.example.com/hook", began=1000.0, due=1000.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_delivers(status):
    """What the other side makes of it is its affair."""
    after = after_reply(replace(NEW, problem="answered 500"), Reply(status, None), 1001.0)
    assert (after.state, after.due, after.attempts) == (CallbackState.DELIVERED, None, 1)
    assert after.problem is None


@pytest.mark.parametrize("status", [100, 199, 300, 301, 304, 400, 404, 429, 500, 503, 999])
def test_anything_else_is_tried_again(status):
    """Redirects, too: nothing is followed."""
    after = after_reply(NEW, Reply(status, None), 1001.0)
    assert after.state is CallbackState.PENDING
    assert after.due == pytest.approx(1006.5, abs=0.51)
    assert after.problem == f"answered {status}"


def test_gone_is_the_end():
    """410 says that nobody wants it any more."""
    after = after_reply(NEW, Reply(410, None), 1001.0)
    assert (after.state, after.due, after.attempts) == (CallbackState.FAILED, None, 1)


def test_it_is_tried_for_a_day():
    """At growing distances: some fifteen times, and then no more."""
    callback, now, distances = NEW, 1000.0, []
    while callback.state is CallbackState.PENDING:
        assert callback.due is not None
        distances.append(callback.due - now)
        now = callback.due
        callback = after_failure(callback, "no answer", now)
    assert callback.attempts in range(12, 16)
    assert PATIENCE_SECONDS - 17_400 < now - 1000 <= PATIENCE_SECONDS
    assert all(later > 0.8 * earlier for earlier, later in pairwise(distances))


def test_the_other_side_may_ask_for_a_pause():
    """Of an hour at most, and never for a shorter one than ours."""
    assert after_reply(NEW, Reply(503, 120.0), 1000.0).due == 1120.0
    assert after_reply(NEW, Reply(429, 1e9), 1000.0).due == 4600.0
    due = after_reply(NEW, Reply(429, 0.0), 1000.0).due
    assert due is not None
    assert due >= 1005.0


def test_a_problem_is_short():
    """It stands in lists."""
    assert len(after_failure(NEW, "x" * 9999, 1000.0).problem or "") == 200
