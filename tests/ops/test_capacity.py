"""The page on capacity says what follows from what was measured."""

import re

from tests.bench.capacity_plan import STREAM, TASK, Load, bounds, gateways_for, table
from tests.ops.files import OPS, SETTINGS

PAGE = (OPS / "capacity.md").read_text()


def test_the_table_is_made_of_the_figures():
    """By the formulas, to the letter."""
    assert table() in PAGE


def test_the_figures_are_those_of_the_page():
    """What a text costs each process, by name."""
    said = re.findall(r"^\| (\w+)(?: that leads)? \| ([\d.]+) ms", PAGE, re.MULTILINE)
    assert {part: float(ms) for part, ms in said} == {
        part: round(ms, 1) for part, ms in TASK.cpu_ms.items()
    }
    limit = min(bounds(TASK, STREAM), key=bounds(TASK, STREAM).__getitem__)
    assert limit == "the relay that leads"
    assert f"**{bounds(TASK, STREAM)[limit] // 1000:.0f},000 a minute**: the relay" in PAGE


def test_gateways_are_enough_for_what_they_hear():
    """More texts need more of them, until one cannot even hear of all."""
    counts = [gateways_for(Load(rate, 0), TASK, STREAM) for rate in (10, 100_000, 300_000)]
    assert counts == sorted(counts)
    assert gateways_for(Load(1_000_000, 0), TASK, STREAM) == -1


def test_settings_that_it_names_are_settings():
    """A name that changed is found here."""
    names = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)(?:=\w+)?`", PAGE))
    assert names
    assert names <= SETTINGS
