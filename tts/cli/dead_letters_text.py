"""Dead letters as `tts dead-letters` prints them: times in UTC, as in the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tts.application.dead_letters import Outcome
from tts.cli.output import echo
from tts.observability.visible import visible

MESSAGE_CHARACTERS = 60
TIME = "%Y-%m-%d %H:%M:%S"


def print_outcome(outcome: Outcome, done: str, *, dry_run: bool) -> None:
    """What an order has done; a line for each task that was skipped."""
    for task_id, why in outcome.skipped:
        echo(visible(f"skipped  {task_id}  {why}"))
    what = f"would be {done}" if dry_run else done
    rest = f", {outcome.remaining} left" if outcome.remaining else ""
    echo(
        f"{outcome.matched} matched: {len(outcome.done)} {what}, "
        f"{len(outcome.skipped)} skipped{rest}"
    )


def print_page(page: Mapping[str, Any]) -> None:
    """A table of dead letters, and one of the counts."""
    if not page["total"]:
        echo("No dead letters.")
        return
    _print_table(
        ("FAILED (UTC)", "TASK", "CODE", "STEP", "TRIES", "PAID", "TEMPLATE", "CHARS", "MESSAGE"),
        [
            (
                _time(letter["failedAt"]),
                letter["taskId"],
                letter["code"] + ("!" if letter["permanent"] else ""),
                letter["step"],
                letter["attempts"],
                letter["predictions"],
                letter["templateId"],
                letter["textLength"],
                _short(letter["error"]),
            )
            for letter in page["deadLetters"]
        ],
    )
    echo()
    _print_table(("COUNT", "CODE"), [(count, code) for code, count in page["counts"].items()])
    echo(f"\n{page['total']} in all.  ! means: no repetition can help.")
    if page["nextCursor"]:
        echo(visible(f"More: --cursor {page['nextCursor']}"))


def print_letter(letter: Mapping[str, Any]) -> None:
    """Everything that is known of one."""
    kind = "permanent: no repetition can help" if letter["permanent"] else "attempts exhausted"
    facts = {
        "Task": letter["taskId"],
        "Error": f"{letter['code']} at {letter['step']} ({kind})",
        "Message": letter["error"],
        "Failed": f"{_time(letter['failedAt'])} UTC, asked for {_time(letter['createdAt'])} UTC",
        "Attempts": f"{letter['attempts']} of {letter['maxAttempts']} in the last round",
        "Paid": f"{letter['predictions']} predictions at most",
        "Template": letter["templateId"],
        "Owner": letter["owner"] or "-",
        "Text": f"{letter['textLength']} characters: {_short(letter['ttsText'] or '(erased)')}",
        "Dismissed": f"{_time(letter['dismissedAt'])} UTC" if letter["dismissedAt"] else "no",
    }
    for name, value in facts.items():
        echo(visible(f"{name:<10} {value}"))
    echo("\nTimeline (UTC)")
    _print_table(
        ("TIME", "LASTED", "STATUS", "WHAT"),
        [
            (
                _time(event["timestamp"]),
                "" if event["lasted"] is None else f"{event['lasted']:.1f} s",
                "dismissed" if event.get("dismissed") else event["status"],
                _what(event),
            )
            for event in letter["events"]
        ],
    )
    if letter["predictionsMade"]:
        echo("\nPredictions")
        _print_table(
            ("ID", "SEGMENT", "ATTEMPT", "MADE (UTC)", "BILLED"),
            [
                (
                    made["predictionId"],
                    made["segment"],
                    made["attempt"],
                    _time(made["createdAt"]),
                    "-" if made["predictTime"] is None else f"{made['predictTime']:.1f} s",
                )
                for made in letter["predictionsMade"]
            ],
        )


def _what(event: Mapping[str, Any]) -> str:
    if "error" in event:
        return f"{event['code']} at {event['step']}: {_short(event['error'])}"
    if "by" in event:
        return f"by {event['by']}: {event.get('reason', '')}"
    parts = [
        f"attempt {event['attempt']}" if event.get("attempt", 1) > 1 else "",
        event.get("predictionId", ""),
        event.get("worker", ""),
    ]
    return " ".join(filter(None, parts))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest word; numbers to the right."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    numeric = [all(isinstance(row[n], int) for row in rows) for n in range(len(head))]
    for line in (head, *cells):
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        echo("  ".join(padded).rstrip())


def _time(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(UTC).strftime(TIME)


def _short(text: str) -> str:
    """The beginning, with blanks for its line breaks."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= MESSAGE_CHARACTERS else line[: MESSAGE_CHARACTERS - 1] + "…"
