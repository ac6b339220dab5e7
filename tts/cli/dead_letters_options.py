"""The options of ``tts dead-letters``: which letters, and what an order on them needs."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any
from uuid import UUID

import click

from tts.application.dead_letters import REASON_MAX_CHARS, Bulk, Selection
from tts.observability.visible import is_plain_line


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
ORDER = (
    click.argument("tasks", type=TaskId(), nargs=-1),
    click.option("--all", "everything", is_flag=True, help="All of them, without a filter."),
    click.option(
        "--reason",
        required=True,
        help=f"Why, in {REASON_MAX_CHARS} characters at most; it stands in the log.",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many."),
    click.option("--dry-run", is_flag=True, help="Only say what would be done."),
)


def with_selection(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters as one ``selection``."""

    @wraps(command)
    def selecting(**options: Any) -> None:
        filters = {name: options.pop(name) for name in Selection.__dataclass_fields__}
        command(selection=Selection(**filters), **options)

    for option in reversed(FILTERS):
        selecting = option(selecting)
    return selecting


def with_bulk(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the letters that it is for, and who orders it and why, as one ``bulk``."""

    @wraps(command)
    def ordering(
        tasks: Sequence[UUID],
        *,
        selection: Selection,
        everything: bool,
        reason: str,
        limit: int | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        if bool(tasks) + (selection != Selection()) + everything != 1:
            raise click.UsageError(
                "name tasks, or give filters, or --all: exactly one of the three"
            )
        if not reason.strip():
            raise click.UsageError("--reason must not be empty")
        if len(reason) > REASON_MAX_CHARS:
            raise click.UsageError(
                f"--reason must have at most {REASON_MAX_CHARS} characters, not {len(reason)}"
            )
        if not is_plain_line(reason):
            raise click.UsageError("--reason must be one line without control characters")
        by = f"{getpass.getuser()} (command line)"
        bulk = Bulk(
            by=by,
            reason=reason,
            tasks=tasks or None,
            selection=selection,
            limit=limit,
            dry_run=dry_run,
        )
        command(bulk=bulk, **options)

    for option in reversed(ORDER):
        ordering = option(ordering)
    return with_selection(ordering)
