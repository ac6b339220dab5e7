"""A slice of ``make chaos`` for every day: the same run, short and with a fixed seed."""

from __future__ import annotations

import pytest

from tests.chaos.run import Chaos

SEED = 20
SECONDS = 90.0
TASKS = 400


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_paid_twice_whatever_breaks(servers, tmp_path):
    """Two rounds of every kill and outage, and 28 faults of Replicate and templates."""
    folder = tmp_path / "run"
    folder.mkdir()
    chaos = Chaos(servers, folder, seed=SEED)
    report = await chaos.run(seconds=SECONDS, tasks=TASKS)
    assert report.violations == [], str(report)
