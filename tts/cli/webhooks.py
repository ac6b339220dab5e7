"""``tts webhooks``: the callbacks that tell clients that their tasks are over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click

from tts.bootstrap import Composition, compose
from tts.cli.data_folder import settings_of_a_log
from tts.cli.dead_letters_options import TaskId
from tts.cli.dead_letters_text import print_json
from tts.cli.errors import Tools
from tts.cli.options import data_option, json_option
from tts.cli.output import echo
from tts.domain.naming import callback_secret
from tts.observability.visible import visible
from tts.ports.callbacks import Callback, CallbackState
from tts.wire import callback_fields

data_folder = data_option("the SQLite files")


def _run(work: Callable[[Composition], Awaitable[None]], data_dir: Path | None) -> None:
    async def run() -> None:
        async with compose(settings_of_a_log(data_dir)) as parts:
            await work(parts)

    asyncio.run(run())


@click.group(cls=Tools)
def webhooks() -> None:
    """List and replay callbacks, and show what they are signed with.

    A request with a `callback_url` is told of the end of its task. Works on the event store
    directly; the relay sends.
    """


@webhooks.command("list")
@click.option("--state", type=click.Choice([state.value for state in CallbackState]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option()
@data_folder
def list_(*, state: str | None, limit: int, as_json: bool, data_dir: Path | None) -> None:
    """Show those that something happened to last first, and how many there are in each state."""

    async def work(parts: Composition) -> None:
        table = parts.callback_table
        counts = await table.counts()
        page = await table.newest_first(CallbackState(state) if state else None, limit)
        if as_json:
            rows = [
                {"taskId": str(each.task_id), **callback_fields(each.url, each)} for each in page
            ]
            print_json({"counts": {k.value: n for k, n in counts.items()}, "callbacks": rows})
            return
        for each in page:
            echo(_line(each))
        echo("  ".join(f"{name}: {counts.get(name, 0)}" for name in CallbackState))

    _run(work, data_dir)


@webhooks.command()
@click.argument("task_ids", metavar="TASKS...", nargs=-1, type=TaskId())
@click.option("--failed", is_flag=True, help="All that were given up.")
@data_folder
def replay(*, task_ids: tuple[UUID, ...], failed: bool, data_dir: Path | None) -> None:
    """Send the callbacks of TASKS again, or all that failed; receivers see the same webhook-id.

    What a callback says stands in the task's events: those of an archived task have to be brought
    back first.
    """
    if bool(task_ids) == failed:
        raise click.UsageError("name the tasks, or give --failed")

    async def work(parts: Composition) -> None:
        archived = {task.task_id: task for task in await parts.store.archived(task_ids)}
        named = [task_id for task_id in task_ids if task_id not in archived]
        now = datetime.now(UTC).timestamp()
        count = await parts.callback_table.replay(None if failed else named, now)
        echo(f"{count} callbacks are sent again.")
        for task in archived.values():
            echo(
                f"{task.task_id} is archived: tts archive restore FOLDER, with the folder of "
                f"{task.archive}, brings it back; then replay it.",
                err=True,
            )
        if archived:
            sys.exit(1)

    _run(work, data_dir)


@webhooks.command()
@click.option("--owner", default="", help="Whose: as `tts keys list` shows it (default: no key's).")
@data_folder
def secret(*, owner: str, data_dir: Path | None) -> None:
    """Print what the owner's callbacks are signed with, for Standard Webhooks' libraries."""

    async def work(parts: Composition) -> None:
        echo(callback_secret((await parts.store.secret()).key, owner))

    _run(work, data_dir)


def _line(callback: Callback) -> str:
    at = datetime.fromtimestamp(callback.updated, UTC)
    words = [
        f"{at:%Y-%m-%d %H:%M:%S}",
        str(callback.task_id),
        f"{callback.state:<9}",
        f"attempts {callback.attempts}",
        visible(callback.url),
    ]
    return "  ".join([*words, *([visible(callback.problem)] if callback.problem else [])])
