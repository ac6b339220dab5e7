"""``tts webhooks``: the callbacks that tell clients that their tasks are over."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from uuid import UUID

import click

from tts.bootstrap import Composition
from tts.cli.dead_letters_options import TaskId
from tts.cli.errors import Tools
from tts.cli.on_log import on_log
from tts.cli.options import json_option
from tts.cli.output import echo, print_json
from tts.domain.naming import callback_secret
from tts.observability.visible import visible
from tts.ports.callbacks import Callback, CallbackState
from tts.wire import callback_fields


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
@on_log
async def list_(parts: Composition, *, state: str | None, limit: int, as_json: bool) -> None:
    """Show those that something happened to last first, and how many there are in each state."""
    table = parts.callback_table
    counts = await table.counts()
    page = await table.newest_first(CallbackState(state) if state else None, limit)
    if as_json:
        rows = [{"taskId": str(each.task_id), **callback_fields(each.url, each)} for each in page]
        print_json({"counts": {k.value: n for k, n in counts.items()}, "callbacks": rows})
        return
    for each in page:
        echo(_line(each))
    echo("  ".join(f"{name}: {counts.get(name, 0)}" for name in CallbackState))


@webhooks.command()
@click.argument("task_ids", metavar="TASKS...", nargs=-1, type=TaskId())
@click.option("--failed", is_flag=True, help="All that were given up.")
@on_log
async def replay(parts: Composition, *, task_ids: tuple[UUID, ...], failed: bool) -> None:
    """Send the callbacks of TASKS again, or all that failed; receivers see the same webhook-id.

    What a callback says stands in the task's events: those of an archived task have to be brought
    back first.
    """
    if bool(task_ids) == failed:
        raise click.UsageError("name the tasks, or give --failed")
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


@webhooks.command()
@click.option("--owner", default="", help="Whose: as `tts keys list` shows it (default: no key's).")
@on_log
async def secret(parts: Composition, *, owner: str) -> None:
    """Print what the owner's callbacks are signed with, for Standard Webhooks' libraries."""
    echo(callback_secret((await parts.store.secret()).key, owner))


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
