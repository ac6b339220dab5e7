"""What a position says about the epoch that it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tts.ports.epochs import Epoch, Epochs, WentBack

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def epochs() -> Epochs:
    """A log that lost what stood behind 200, and later what stood behind 5010."""
    boundaries = [(0, 0), (200, 5000), (5010, 90_000)]
    return Epochs(
        [
            Epoch(n, uuid4(), survived, first, BEGAN)
            for n, (survived, first) in enumerate(boundaries)
        ]
    )


@pytest.mark.parametrize("position", [0, 1, 200, 5000, 5010, 90_000, 10**15])
def test_a_position_that_is_left_or_was_given_since_is_whole(epochs, position):
    """So is one that was never given yet."""
    epochs.check(position)


@pytest.mark.parametrize(
    ("position", "survived"), [(201, 200), (4999, 200), (5011, 5010), (89_999, 5010)]
)
def test_a_position_in_between_is_gone(epochs, position, survived):
    """And it is known where the log ended then."""
    with pytest.raises(WentBack) as caught:
        epochs.check(position)
    assert (caught.value.survived, caught.value.seen) == (survived, position)


@pytest.mark.parametrize(
    ("after", "until", "count"),
    [(0, 10, 10), (10, 20, 10), (190, 200, 10), (200, 5000, 1), (190, 5004, 15), (190, 90_004, 26)],
)
def test_what_was_never_given_is_not_counted(epochs, after, until, count):
    """Forwards and backwards."""
    assert epochs.span(after, until) == count
    assert epochs.before(until, count) == after


def test_a_log_has_nothing_before_its_beginning(epochs):
    """However far one looks back."""
    assert epochs.before(90_004, 1000) == 0
