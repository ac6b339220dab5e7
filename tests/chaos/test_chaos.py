"""A slice of ``make chaos`` for every day: the same run, short, on one server of each kind."""

from __future__ import annotations

from tests.chaos.run import Chaos

SEED = 20
SECONDS = 16.0
TASKS = 100
SPARED = ("rabbitmq stop",)  # it is wiped


async def test_nothing_is_lost_or_paid_twice_whatever_breaks(servers, tmp_path):
    """Every process is killed and one frozen, every server goes away or refuses, all in a row."""
    folder = tmp_path / "run"
    folder.mkdir()
    chaos = Chaos(servers, folder, seed=SEED, without=SPARED, every=SECONDS, freeze=5.0)
    report = await chaos.run(seconds=SECONDS, tasks=TASKS)
    assert report.violations == [], str(report)
