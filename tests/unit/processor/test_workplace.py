"""Long audio is put together where the service keeps its data, and nowhere else."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tts.domain.failures import StepError, Treatment
from tts.ports.errors import Unavailable
from tts.processor.workplace import KEPT_SECONDS, Workplace


async def test_what_was_put_together_is_gone_afterwards(tmp_path):
    """Also when it failed."""
    workplace = Workplace(tmp_path / "data" / "work")
    async with workplace.file() as path:
        path.write_bytes(b"x")
        assert path.is_relative_to(tmp_path)
    with pytest.raises(ZeroDivisionError):
        async with workplace.file() as path:
            raise ZeroDivisionError
    assert list((tmp_path / "data" / "work").iterdir()) == []


async def test_what_a_killed_process_has_left_is_cleared_away(tmp_path):
    """And what another one is at stays."""
    old, new = tmp_path / "old.wav", tmp_path / "new.wav"
    for path in (old, new):
        path.touch()
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    await Workplace(tmp_path).ready()
    assert [path.name for path in tmp_path.iterdir()] == ["new.wav"]


async def use(workplace: Workplace, file: str | None = None) -> None:
    """Write a byte to the file of the workplace, or to another one."""
    async with workplace.file() as path:
        await asyncio.to_thread(Path(file or path).write_bytes, b"x")


@pytest.mark.parametrize("place", ["file/work", "/proc/none/work"])
async def test_a_place_that_cannot_be_written_is_the_operators(tmp_path, place):
    """Health says so at once, and a task waits and loses no attempt."""
    (tmp_path / "file").touch()
    workplace = Workplace(tmp_path / place)
    with pytest.raises(StepError) as caught:
        await use(workplace)
    assert_the_operators(caught.value)
    assert str(tmp_path) not in caught.value.message
    with pytest.raises(Unavailable, match="DATA_DIR"):
        await workplace.ready()


async def test_a_full_disk_is_the_operators(tmp_path):
    """Whenever it is found to be full."""
    with pytest.raises(StepError) as caught:
        await use(Workplace(tmp_path), "/dev/full")
    assert_the_operators(caught.value)


def assert_the_operators(failure: StepError) -> None:
    assert (failure.code, failure.step) == ("workplace_refused", "audio")
    assert failure.treatment is Treatment.CONFIGURATION
    assert not failure.failure.costs_attempt


async def test_a_lost_connection_is_no_fault_of_the_place(tmp_path):
    """Of a store that is used meanwhile."""
    with pytest.raises(ConnectionError):
        async with Workplace(tmp_path).file():
            raise ConnectionResetError
