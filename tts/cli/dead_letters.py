"""``tts dead-letters``: what could not be spoken, for who is called at night."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import click

from projections.database import open_database
from projections.dead_letter_queries import DeadLetterQueries
from tts.application.bulk_answer import bulk_answer
from tts.application.dead_letters import Bulk, DeadLetters, Outcome, Selection
from tts.bootstrap import Composition, compose
from tts.cli.data_folder import settings_of_a_log
from tts.cli.dead_letters_options import TaskId, with_bulk, with_selection
from tts.cli.dead_letters_text import print_json, print_letter, print_outcome, print_page
from tts.cli.errors import Tools
from tts.cli.options import data_option, json_option
from tts.cli.output import progress
from tts.config import Settings

data_folder = data_option("the SQLite files")


@dataclass(frozen=True)
class Desk:
    """What the commands work with."""

    letters: DeadLetters
    parts: Composition


def _run(work: Callable[[Desk], Awaitable[None]], data_dir: Path | None) -> None:
    """Open what is needed and do the work."""

    async def run(settings: Settings) -> None:
        read_models = open_database(settings.store_url, settings.direct_url)
        async with compose(settings) as parts, read_models as database:
            letters = DeadLetters(parts.application, DeadLetterQueries(database))
            await work(Desk(letters, parts))

    asyncio.run(run(settings_of_a_log(data_dir)))


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
@data_folder
def list_(
    *,
    selection: Selection,
    limit: int,
    cursor: str | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Show those that failed last first, and how many there are of each code."""

    async def work(desk: Desk) -> None:
        try:
            page = await desk.letters.page(selection, cursor=cursor, limit=limit)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--cursor") from error
        if as_json:
            print_json(page)
        else:
            print_page(page)

    _run(work, data_dir)


@dead_letters.command()
@click.argument("task_id", type=TaskId())
@json_option()
@data_folder
def show(*, task_id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Show one failed task: its error, its timeline, and the predictions made."""

    async def work(desk: Desk) -> None:
        letter = await desk.letters.inspect(task_id, desk.parts.audio.url)
        if as_json:
            print_json(letter)
        else:
            print_letter(letter)

    _run(work, data_dir)


@dead_letters.command()
@with_bulk
@click.option(
    "--per-second",
    type=click.IntRange(min=1),
    help="Tasks a second (REDRIVE_PER_SECOND, default 50).",
)
@json_option()
@data_folder
def redrive(*, bulk: Bulk, per_second: int | None, as_json: bool, data_dir: Path | None) -> None:
    """Give TASKS, or those that the filters select, another round of attempts."""

    async def work(desk: Desk) -> None:
        pace = per_second or desk.parts.settings.redrive_per_second
        await _in_calls(
            bulk, lambda part: desk.letters.redrive(part, per_second=pace), "redriven", as_json
        )

    _run(work, data_dir)


@dead_letters.command()
@with_bulk
@json_option()
@data_folder
def dismiss(*, bulk: Bulk, as_json: bool, data_dir: Path | None) -> None:
    """Take TASKS, or those that the filters select, off the list; they stay failed."""

    async def work(desk: Desk) -> None:
        await _in_calls(bulk, desk.letters.dismiss, "dismissed", as_json)

    _run(work, data_dir)


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
