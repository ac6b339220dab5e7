"""``tts dead-letters``: what could not be spoken, for who is called at night."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

import click

from projections.dead_letter_queries import DeadLetterQueries
from projections.ports import Database
from tts.application.bulk_answer import bulk_answer
from tts.application.dead_letters import Bulk, DeadLetters, Outcome, Selection
from tts.bootstrap import Composition
from tts.cli.dead_letters_options import TaskId, with_bulk, with_selection
from tts.cli.dead_letters_text import print_letter, print_outcome, print_page
from tts.cli.errors import Tools
from tts.cli.on_log import on_read_models
from tts.cli.options import json_option
from tts.cli.output import print_json, progress
from tts.ports.errors import BadCursor


@click.group("dead-letters", cls=Tools)
def dead_letters() -> None:
    """List, inspect, redrive and dismiss tasks that have failed for good.

    Works on the event store and the read models directly; the gateway need not run.
    """


@dead_letters.command("list")
@with_selection
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on where a page before ended.")
@json_option()
@on_read_models
async def list_(
    parts: Composition,
    database: Database,
    *,
    selection: Selection,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Show those that failed last first, and how many there are of each code."""
    try:
        page = await _letters(parts, database).page(selection, cursor=cursor, limit=limit)
    except BadCursor as error:
        raise click.BadParameter(str(error), param_hint="--cursor") from error
    if as_json:
        print_json(page)
    else:
        print_page(page)


@dead_letters.command()
@click.argument("task_id", type=TaskId())
@json_option()
@on_read_models
async def show(parts: Composition, database: Database, *, task_id: UUID, as_json: bool) -> None:
    """Show one failed task: its error, its timeline, and the predictions made."""
    letter = await _letters(parts, database).inspect(task_id, parts.audio.url)
    if as_json:
        print_json(letter)
    else:
        print_letter(letter)


@dead_letters.command()
@with_bulk
@click.option(
    "--per-second",
    type=click.IntRange(min=1),
    help="Tasks a second (REDRIVE_PER_SECOND, default 50).",
)
@json_option()
@on_read_models
async def redrive(
    parts: Composition, database: Database, *, bulk: Bulk, per_second: int | None, as_json: bool
) -> None:
    """Give TASKS, or those that the filters select, another round of attempts."""
    pace = per_second or parts.settings.redrive_per_second
    call = partial(_letters(parts, database).redrive, per_second=pace)
    await _in_calls(bulk, call, "redriven", as_json)


@dead_letters.command()
@with_bulk
@json_option()
@on_read_models
async def dismiss(parts: Composition, database: Database, *, bulk: Bulk, as_json: bool) -> None:
    """Take TASKS, or those that the filters select, off the list; they stay failed."""
    await _in_calls(bulk, _letters(parts, database).dismiss, "dismissed", as_json)


def _letters(parts: Composition, database: Database) -> DeadLetters:
    return DeadLetters(parts.application, DeadLetterQueries(database))


async def _in_calls(
    bulk: Bulk,
    call: Callable[[Bulk], Awaitable[Outcome]],
    done: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Call until the end or the limit; on a terminal the progress is shown."""
    whole = Outcome(matched=0)
    part = bulk
    while True:
        outcome = await call(part)
        whole.matched = whole.matched or outcome.matched
        whole.done += outcome.done
        whole.skipped += outcome.skipped
        whole.remaining, whole.next = outcome.remaining, outcome.next
        looked_at = len(whole.done) + len(whole.skipped)
        if outcome.next is None or bulk.limit == looked_at:
            break
        if sys.stderr.isatty():
            progress(f"{done} {len(whole.done)}, {outcome.remaining} to go")
        left = None if bulk.limit is None else bulk.limit - looked_at
        part = replace(bulk, cursor=outcome.next, limit=left)
    if as_json:
        print_json({**bulk_answer(whole, dry_run=bulk.dry_run), done: len(whole.done)})
    else:
        print_outcome(whole, done, dry_run=bulk.dry_run)
