"""An outage is a few lines in the log, however many ask meanwhile."""

import logging

import pytest

from gateway.errors import refusal
from tts.observability.health import examine
from tts.observability.repeated import QUIET_SECONDS, Repeated
from tts.ports.errors import Unavailable


def test_what_was_said_is_said_again_after_minutes():
    """And whatever is new at once."""
    now = 0.0
    said = Repeated(lambda: now)
    assert said.is_news("a")
    assert not said.is_news("a")
    assert said.is_news("b")
    now = QUIET_SECONDS
    assert said.is_news("a")


def test_nothing_grows_without_end():
    """Errors with a number of their own each are forgotten again."""
    said = Repeated()
    for number in range(10_000):
        said.is_news(str(number))
    assert len(said._said) <= 100


async def test_sixty_questions_and_requests_are_two_warnings(caplog: pytest.LogCaptureFixture):
    """One of health, and one of what could not be served."""

    async def away() -> None:
        raise Unavailable("the disk of this very test is full")

    with caplog.at_level(logging.WARNING):
        for number in range(60):
            await examine({"store": away})
            refusal(Unavailable("the store of this very test is away"), f"GET /{number}")
    assert len(caplog.records) == 2
