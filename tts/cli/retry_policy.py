"""``tts retry-policy``: what is done about each failure, with the settings in effect."""

from __future__ import annotations

import random
import shutil
import textwrap
from dataclasses import asdict
from typing import Any

import click

from tts.bootstrap import retry_policy
from tts.cli.options import json_option
from tts.cli.output import echo, print_json
from tts.config import load
from tts.domain.failures import FORMER_NAMES, TABLE, Failure, Treatment
from tts.domain.retry import MAX_CREATIONS, PAUSE_SECONDS, RETRY_AFTER_CAP_SECONDS, RetryPolicy

EXAMPLE_ATTEMPTS = 10
WIDTH = 100  # where there is no terminal, and the widest that reads well


@click.command(name="retry-policy")
@json_option("As JSON, for programs.")
def retry_policy_command(*, as_json: bool) -> None:
    """Print when a failed step is tried again, and what is done about each failure."""
    settings = load()
    policy = retry_policy(settings)
    shown = _shown(policy, settings.retry_max_attempts)
    if as_json:
        failures = [
            {
                **asdict(row),
                "new_prediction": row.new_prediction,
                "former_names": [{"code": code, "step": step} for code, step in _former(row)],
            }
            for row in TABLE.values()
        ]
        print_json({**shown, "failures": failures})
    else:
        echo("\n".join([*_lines(shown), *_table()]))


def _shown(policy: RetryPolicy, attempts: int) -> dict[str, Any]:
    last = min(attempts, EXAMPLE_ATTEMPTS)
    return {
        "max_attempts": attempts,
        "backoff": asdict(policy),
        "example_delays": [policy.delay(n, random.random) for n in range(1, last)],
        "retry_after_cap": RETRY_AFTER_CAP_SECONDS,
        "pause": dict(zip(("initial", "maximum"), PAUSE_SECONDS, strict=True)),
        "max_predictions_per_segment": MAX_CREATIONS,
    }


def _lines(shown: dict[str, Any]) -> list[str]:
    backoff = shown["backoff"]
    how = {
        "none": "exactly that",
        "proportional": "and up to a quarter more, by chance",
        "full": "by chance anything up to that",
    }
    series = " ".join(f"{seconds:g}" for seconds in shown["example_delays"]) or "none"
    pause = shown["pause"]
    rows = {
        "Attempts": f"{shown['max_attempts']} (RETRY_MAX_ATTEMPTS)",
        "First delay": f"{backoff['initial']:g} s (RETRY_INITIAL_INTERVAL_MS)",
        "Multiplier": f"{backoff['multiplier']:g} (RETRY_MULTIPLIER)",
        "Longest delay": f"{backoff['maximum']:g} s (RETRY_MAX_INTERVAL_MS)",
        "Jitter": f"{backoff['jitter']}: {how[backoff['jitter']]} (RETRY_JITTER)",
        "For example": f"{series} (seconds; rounded up on a grid, one queue for each delay)",
        "Retry-After": f"honoured up to {shown['retry_after_cap']:g} s",
        "Pause": f"{pause['initial']:g} s, doubled up to {pause['maximum']:g} s, where marked",
        "Predictions": f"at most {shown['max_predictions_per_segment']} for one piece of text",
    }
    return [f"{name:<15}{value}" for name, value in rows.items()]


def _table() -> list[str]:
    width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
    lines = []
    for step in dict.fromkeys(row.step for row in TABLE.values()):
        lines += ["", f"At step {step}"]
        for row in (row for row in TABLE.values() if row.step == step):
            lines.append(f"  {row.code:<28}{row.treatment:<15}{_consequence(row)}")
            texts = [(row.meaning, "    "), (row.action, "    → ")]
            texts += [(f"In older logs: {c} at step {s}.", "    ") for c, s in _former(row)]
            for text, mark in texts:
                lines += textwrap.wrap(
                    text, width, initial_indent=mark, subsequent_indent=" " * len(mark)
                )
    return lines


def _former(row: Failure) -> list[tuple[str, str]]:
    return [former for former, name in FORMER_NAMES.items() if name == (row.code, row.step)]


def _consequence(row: Failure) -> str:
    if row.treatment is Treatment.PERMANENT:
        return "the task fails"
    words = ["costs an attempt" if row.costs_attempt else "costs no attempt"]
    if row.new_prediction:
        words.append("new prediction")
    if row.pauses:
        words.append("pause")
    return ", ".join(words)
