"""``tts dead-letters``: what could not be spoken, for who is called at night."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from projections.database import open_database
from projections.dead_letters import DeadLetterQueries
from tts import bootstrap
from tts.application.dead_letters import Bulk, DeadLetters, NotADeadLetter, Outcome, Selection
from tts.application.tasks import TaskNotFound
from tts.cli.dead_letters_text import print_json, print_letter, print_outcome, print_page, summary
from tts.config import ConfigError, Settings, load
from tts.ports.errors import Unavailable


@dataclass(frozen=True)
class Desk:
    """What the commands work with."""

    letters: DeadLetters
    settings: Settings
    store: bootstrap.Store


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[Desk]:
    read_models = open_database(settings.store_url)
    async with bootstrap.open_store(settings) as store, read_models as database:
        application = bootstrap.application(settings, store)
        yield Desk(DeadLetters(application, DeadLetterQueries(database)), settings, store)


def _run(work: Callable[[Desk], Awaitable[None]], data_dir: Path | None) -> None:
    """Open what is needed, do the work, and say in a sentence what is wrong."""

    async def run(settings: Settings) -> None:
        async with _desk(settings) as desk:
            await work(desk)

    try:
        asyncio.run(run(_settings(data_dir)))
    except (ConfigError, Unavailable, TaskNotFound, NotADeadLetter) as error:
        raise click.ClickException(str(error)) from error


def _settings(data_dir: Path | None) -> Settings:
    settings = load(data_dir=data_dir)
    url = settings.store_url
    # Opening it would make a new one, without any dead letters.
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).exists():
        raise ConfigError(f"there is no event store at {url}: give --data or EVENT_STORE_URL")
    return settings


# --- options that several commands have


class Instant(click.ParamType[datetime]):
    """A time with its offset, or UTC without one."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """From ISO 8601."""
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 time such as 2025-01-31T12:00Z", param, ctx)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


class TaskId(click.ParamType[UUID]):
    """A task's id."""

    name = "task"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """From its usual spelling."""
        try:
            return UUID(str(value))
        except ValueError:
            self.fail(f"{value!r} is no task's id", param, ctx)


data_option = click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the SQLite files (DATA_DIR, default ./data).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
FILTERS = (
    click.option("--code", help="Error code, such as template_not_found."),
    click.option("--step", help="Step at which they failed, such as create."),
    click.option("--template", "template_id", help="Template."),
    click.option("--since", type=Instant(), help="Failed at this time or later (ISO 8601)."),
    click.option("--until", type=Instant(), help="Failed before this time."),
    click.option(
        "--permanent/--exhausted",
        default=None,
        help="Only those that no repetition can help; only those that ran out of attempts.",
    ),
    click.option("--owner", help="Whose tasks."),
)


def _with_selection(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters as one ``selection``."""

    @wraps(command)
    def selecting(**options: Any) -> None:
        names = Selection.__dataclass_fields__
        chosen = {name: options.pop(name) for name in names}
        command(selection=Selection(**chosen), **options)

    for option in reversed(FILTERS):
        selecting = option(selecting)
    return selecting


def _with_order(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what both orders ask for."""
    for option in reversed(
        (
            click.argument("tasks", type=TaskId(), nargs=-1),
            click.option(
                "--all", "everything", is_flag=True, help="All of them, without a filter."
            ),
            click.option("--reason", required=True, help="Why; it stands in the log."),
            click.option("--limit", type=click.IntRange(min=1), help="At most so many."),
            click.option("--dry-run", is_flag=True, help="Only say what would be done."),
        )
    ):
        command = option(command)
    return _with_selection(command)


# --- commands


@click.group("dead-letters")
def dead_letters() -> None:
    """List, inspect, redrive and dismiss tasks that have failed for good.

    Works on the event store and the read models directly; the gateway need not run.
    """


@dead_letters.command("list")
@_with_selection
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on where a page before ended.")
@json_option
@data_option
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
@json_option
@data_option
def show(*, task_id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Show one failed task: its error, its timeline, and the predictions made."""

    async def work(desk: Desk) -> None:
        async with bootstrap.open_audio(desk.settings) as audio:
            letter = await desk.letters.inspect(task_id, audio.url)
        if as_json:
            print_json(letter)
        else:
            print_letter(letter)

    _run(work, data_dir)


@dead_letters.command()
@_with_order
@click.option(
    "--per-second",
    type=click.IntRange(min=1),
    help="Tasks a second (REDRIVE_PER_SECOND, default 50).",
)
@json_option
@data_option
def redrive(*, per_second: int | None, as_json: bool, data_dir: Path | None, **order: Any) -> None:
    """Give TASKS, or those that the filters select, another round of attempts."""
    bulk = _bulk(**order)

    async def work(desk: Desk) -> None:
        pace = per_second or desk.settings.redrive_per_second
        await _in_calls(
            bulk, lambda part: desk.letters.redrive(part, per_second=pace), "redriven", as_json
        )

    _run(work, data_dir)


@dead_letters.command()
@_with_order
@json_option
@data_option
def dismiss(*, as_json: bool, data_dir: Path | None, **order: Any) -> None:
    """Take TASKS, or those that the filters select, off the list; they stay failed."""
    bulk = _bulk(**order)

    async def work(desk: Desk) -> None:
        await _in_calls(bulk, desk.letters.dismiss, "dismissed", as_json)

    _run(work, data_dir)


def _bulk(
    *,
    tasks: Sequence[UUID],
    selection: Selection,
    everything: bool,
    reason: str,
    limit: int | None,
    dry_run: bool,
) -> Bulk:
    filtered = selection != Selection()
    if bool(tasks) + filtered + everything != 1:
        raise click.UsageError("name tasks, or give filters, or --all: exactly one of the three")
    if not reason.strip():
        raise click.UsageError("--reason must not be empty")
    return Bulk(
        by=f"{getpass.getuser()} (command line)",
        reason=reason,
        tasks=tasks or None,
        selection=selection,
        limit=limit,
        dry_run=dry_run,
    )


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
            click.echo(
                f"\r{done} {len(whole.done)}, {outcome.remaining} to go ", nl=False, err=True
            )
        left = None if bulk.limit is None else bulk.limit - looked_at
        part = replace(bulk, cursor=outcome.next, limit=left)
    if as_json:
        print_json(summary(whole, done, dry_run=bulk.dry_run))
    else:
        print_outcome(whole, done, dry_run=bulk.dry_run)
