"""How many clients a process lets in when few files may be open."""

import logging

import pytest

from gateway.errors import NoRoom
from gateway.room import Room
from tts.config import ConfigError


def test_streams_are_refused_before_connections():
    """What is left is for requests, so that tasks are still taken in."""
    room = Room(files=64, used=33)
    for _ in range(room.streams_most):
        room.take_stream()
    with pytest.raises(NoRoom):
        room.take_stream()
    assert room.enter(0)
    assert not room.enter(room.clients - room.streams_most)
    room.leave_stream()
    room.take_stream()


@pytest.mark.parametrize("files", [64, 128, 1024, 65_536, 1_048_576])
def test_files_are_left_for_the_work(files: int):
    """As many as its connections may take, but not a quarter of a million."""
    left = files - 33 - Room(files=files, used=33).clients
    assert min(files // 4, 500) < left < 600


def test_an_operator_hears_of_it(caplog: pytest.LogCaptureFixture):
    """At the start in the log, and in health once somebody was refused."""
    with caplog.at_level(logging.WARNING):
        room = Room(files=64, used=33)
    assert "Only 64 files may be open" in caplog.text
    assert not room.note
    room.enter(1000)
    assert "raise it" in room.note


def test_no_room_is_no_start():
    """A sentence that says what to raise."""
    with pytest.raises(ConfigError, match="ulimit -n"):
        Room(files=40, used=33)
