"""The table of failures."""

import ast
import json
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

import tts
from tts.cli.retry_policy import retry_policy_command
from tts.domain import steps
from tts.domain.failures import FORMER_NAMES, TABLE, StepError, Treatment, UnknownFailure, lookup

SOURCES = [path for path in Path(tts.__file__).parent.rglob("*.py") if path.name != "failures.py"]


def test_a_failure_takes_its_treatment_from_its_row():
    """Who raises it names code and step, and nothing else about it."""
    failure = StepError("audio_unavailable", "audio", "away", retry_after=3)
    assert failure.failure is lookup("audio_unavailable", "audio")
    assert (failure.treatment, failure.retry_after) == (Treatment.TRANSIENT, 3)


def test_a_failure_without_a_row_is_refused():
    """The table cannot be incomplete, and the error says what to do."""
    with pytest.raises(
        UnknownFailure, match=r"'audio_unavailable'.*'poll'.*tts/domain/failures\.py"
    ):
        StepError("audio_unavailable", "poll", "away")


def test_every_row_tells_an_operator_what_it_means_and_what_to_do():
    """Whole sentences, and no row twice."""
    for row in TABLE.values():
        assert row.meaning.endswith((".", ")."))
        assert row.action.endswith(".")


def test_no_row_is_left_over():
    """Each code is raised somewhere."""
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    texts = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {code for code, _ in TABLE} - texts == set()


def test_a_defect_at_any_step_has_a_row():
    """Whatever a step is called; one that comes to be needs its row."""
    waiting = {steps.Done, steps.Yield, steps.Speak}
    classes = {*get_args(steps.Step), *get_args(steps.SegmentStep)} - waiting
    for kind in classes:
        assert lookup("internal_error", steps.name_of(kind))


def test_a_former_name_is_explained_and_no_longer_given(monkeypatch):
    """An old event keeps its code; who looks it up finds the row of today."""
    assert set(FORMER_NAMES.values()) <= TABLE.keys()
    assert not FORMER_NAMES.keys() & TABLE.keys()
    monkeypatch.setenv("COLUMNS", "100")
    printed = CliRunner().invoke(retry_policy_command).output
    head, _, rest = printed.partition("In older logs: store_refused at step store.")
    assert rest
    assert head.rindex("  audio_refused ") > head.rindex("  audio_unavailable ")
    assert "part_missing" not in head


def test_nothing_that_the_account_is_to_blame_for_costs_an_attempt():
    """Limits, money and keys, at whatever step."""
    account = ("throttled", "unauthorized", "payment_required", "forbidden")
    rows = [row for row in TABLE.values() if row.code.endswith(account)]
    assert len(rows) > len(account)
    assert not any(row.costs_attempt for row in rows if row.step != "template")


def test_an_operator_can_read_the_policy_in_effect(monkeypatch):
    """Settings and every row, within the width of a terminal."""
    monkeypatch.setenv("RETRY_INITIAL_INTERVAL_MS", "2000")
    monkeypatch.setenv("RETRY_JITTER", "none")
    printed = CliRunner().invoke(retry_policy_command).output
    assert "2 4 8 16" in printed
    for row in TABLE.values():
        assert f"  {row.code} " in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_a_program_can_read_the_policy_too(monkeypatch):
    """The same as JSON."""
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "3")
    policy = json.loads(CliRunner().invoke(retry_policy_command, ["--json"]).output)
    assert policy["max_attempts"] == 3
    assert len(policy["example_delays"]) == 2
    rows = {(row["code"], row["step"]): row for row in policy["failures"]}
    assert rows.keys() == TABLE.keys()
    assert rows["prediction_lost", "poll"]["new_prediction"]
    assert not rows["replicate_throttled", "create"]["costs_attempt"]
