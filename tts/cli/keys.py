"""``tts keys``: who may use the gateway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gateway.access import keys as key_file
from gateway.access.roles import Quota, Role
from tts.cli.errors import Tools
from tts.cli.output import echo
from tts.config import ConfigError, load


def _of_file(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the file of keys."""

    @click.option(
        "--file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file of keys (TTS_API_KEYS_FILE).",
    )
    @wraps(command)
    def with_file(file: Path | None, **options: Any) -> None:
        command(_path(file), **options)

    return with_file


def _path(file: Path | None) -> Path:
    path = load(tts_api_keys_file=file).tts_api_keys_file
    if path is None:
        raise ConfigError("TTS_API_KEYS_FILE is not set; set it, or give --file")
    return path


@click.group(cls=Tools)
def keys() -> None:
    """Make, list and revoke API keys. Running gateways notice within a second."""


@keys.command()
@_of_file
@click.option("--owner", required=True, help="Whose tasks the key's are: a name of your choice.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.APP.value,
    show_default=True,
    help="app: the owner's tasks. dashboard: read everything. admin: everything.",
)
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires (default: never).")
@click.option(
    "--max-tasks",
    type=click.IntRange(min=0),
    help="Tasks of the owner that may be unfinished; 0: any number (default: OWNER_MAX_TASKS).",
)
@click.option(
    "--characters-per-day",
    type=click.IntRange(min=0),
    help="Characters that the owner may send in a day (UTC); 0: any number "
    "(default: OWNER_CHARACTERS_PER_DAY).",
)
def add(path: Path, owner: str, role: str, days: int | None, **quota: int | None) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    key, text = key_file.add(
        path, owner=owner, role=Role(role), expires=expires, quota=Quota(**quota)
    )
    echo(f"Key {key.id} for {owner} ({role}); it is not shown again:", err=True)
    echo(text)


@keys.command("list")
@_of_file
def list_(path: Path) -> None:
    """Show what is known of every key, which is all but the key."""
    for key in key_file.load(path).keys:
        state = key.refusal(datetime.now(UTC)) or "good"
        expires = f"  expires {key.expires:%Y-%m-%d}" if key.expires else ""
        echo(
            f"{key.id}  {key.role:<9}  {key.owner}  made {key.created:%Y-%m-%d}{expires}"
            f"{_limits(key.quota)}  {state}"
        )


def _limits(quota: Quota) -> str:
    """What of its own the key has; 0 is no limit."""
    limits = ((quota.max_tasks, "tasks"), (quota.characters_per_day, "characters a day"))
    return "".join(f"  {most or 'any'} {what}" for most, what in limits if most is not None)


@keys.command()
@_of_file
@click.argument("key_id")
def revoke(path: Path, key_id: str) -> None:
    """Take a key back, by the id that `tts keys list` shows."""
    key = key_file.revoke(path, key_id)
    echo(f"Key {key.id} of {key.owner} is revoked.")
