"""The page of benchmarks shows what was measured, and nothing else."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.bench import report
from tests.bench.records import FOLDER, Goal, Record, Row

RECORDS = {path.stem: Record.load(path) for path in FOLDER.glob("*.json")}
PICTURE_BYTES = 10_000


def test_tables_and_pictures_are_made_of_the_json_beside():
    """No figure was typed, and nothing was measured that the page does not show."""
    for path, text in report.rendered().items():
        assert path.read_text() == text, f"{path.name}: python -m tests.bench.report"


def test_every_picture_has_its_measurement():
    """None is left over."""
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(RECORDS)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_picture_is_small_and_readable_on_light_and_dark(name):
    """It brings both schemes of colours and says in words what it shows."""
    text = (FOLDER / f"{name}.svg").read_text()
    assert len(text.encode()) < PICTURE_BYTES
    assert "prefers-color-scheme:dark" in text
    assert ET.fromstring(text).get("aria-label")  # noqa: S314 -- our own file


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_measurement_says_where_it_was_made(name):
    """A figure without its machine says nothing."""
    assert {"measured", "at", "on", "Python"} <= set(RECORDS[name].conditions)


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("fast enough", 2.0, 2), "PASS"),
        (Goal("too slow", 1.99, 2), "FAIL"),
        (Goal("small enough", 80, 80, at_least=False), "PASS"),
        (Goal("too large", 80.1, 80, at_least=False), "FAIL"),
    ],
    ids=str,
)
def test_a_goal_is_passed_at_its_limit_and_not_beside_it(goal, verdict):
    """The verdict is made of the figure, for the terminal and for the page."""
    record = Record("r", "t", [Row("s", {"m": [1.0]})], [goal])
    assert f"**{verdict}**" in report.section(record)


def test_a_figure_that_is_changed_by_hand_is_found(tmp_path, monkeypatch):
    """The page is not what the JSON gives any more."""
    row = Row("tts", {"POSTs/s": [100.0, 300.0, 200.0]})
    (page := tmp_path / "benchmarks.md").write_text("# Page\n<!-- r -->\n<!-- /r -->\n")
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(report, "PAGE", page)
    Record("r", "t", [row]).save(tmp_path)
    report.main()
    assert "| tts | 200 (100–300) |" in page.read_text()
    Record("r", "t", [Row("tts", {"POSTs/s": [100.0, 300.0, 201.0]})]).save(tmp_path)
    assert report.rendered()[page] != page.read_text()
