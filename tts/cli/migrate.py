"""``tts migrate``: what an older version or service left behind is made what this one needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

import click

from projections.database import migrate_database
from tts.cli.errors import Tools
from tts.cli.output import echo
from tts.cli.process import PRIVATE
from tts.config import ConfigError, file_of, load
from tts.parts.event_store import migrate_store
from tts.ports.schema import Migrated
from tts.queue.rabbitmq.migration import Moved
from tts.queue.rabbitmq.migration import migrate as migrate_queues


@click.group(cls=Tools, invoke_without_command=True)
@click.option(
    "--grant",
    "role",
    metavar="ROLE",
    default="",
    help="Let this role of PostgreSQL work with the tables (it needs no right to make any).",
)
@click.pass_context
def migrate(context: click.Context, role: str) -> None:
    """Make the tables, or those of an older version what this one needs.

    A start does this by itself if its role of the database may. Where it may not, run this with the
    EVENT_STORE_URL of a role that does, before the first start and at each upgrade.
    """
    if context.invoked_subcommand is None:
        os.umask(PRIVATE)
        for migrated in asyncio.run(_tables(role)):
            echo(_sentence(migrated))
        if role:
            echo(f"The role {role} may work with them.")


async def _tables(role: str) -> list[Migrated]:
    settings = load()
    if role and file_of(settings.store_url):
        raise ConfigError("--grant is for PostgreSQL, and EVENT_STORE_URL names none")
    url, direct = settings.store_url, settings.direct_url
    return [await migrate_store(url, direct, role), await migrate_database(url, direct, role)]


def _sentence(migrated: Migrated) -> str:
    if migrated.before == migrated.version:
        return f"The {migrated.part}: version {migrated.version}, as it should be."
    before = (
        f"it was {migrated.before}"
        if migrated.before
        else "it was made now, or is older than versions"
    )
    return f"The {migrated.part}: version {migrated.version} ({before})."


@migrate.command()
def rabbitmq() -> None:
    """Make queues anew that an older service declared otherwise, and keep their messages.

    Stop the processes first. Messages of this service are moved into the new queues; all others are
    left in queues beside them, whose names end in `.old`.
    """
    url = load().rabbitmq_url.get_secret_value()
    if not url:
        raise ConfigError("RABBITMQ_URL is not set: without it there are no queues to migrate")
    _tell(asyncio.run(migrate_queues(url)))


def _tell(queues: Iterable[Moved]) -> None:
    for moved in queues:
        if not moved.reason:
            echo(f"{moved.queue} is as it should be.")
        else:
            echo(f"{moved.queue} was made anew: {moved.reason}")
        if moved.ours:
            echo(f"  {moved.ours} messages of this service are in it again.")
        if moved.left:
            echo(
                f"  {moved.left} messages are not of this service, whose log knows no task of "
                f"theirs: they are left in {moved.kept}. Post again what is still wanted of them, "
                "then delete that queue."
            )
