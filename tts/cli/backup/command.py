"""The commands."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from tts.cli.backup import log
from tts.cli.backup.manifest import opened, seal
from tts.cli.data_folder import check_folder, settings_of_a_log
from tts.cli.errors import Tool
from tts.cli.options import data_option
from tts.cli.output import echo
from tts.cli.process import PRIVATE
from tts.config import ConfigError, Settings, load
from tts.parts.event_store import open_store

KEYS, AUDIO = "keys.json", "audio"
data_folder = data_option("the SQLite files and the audio")


@click.command(cls=Tool)
@click.argument("target", type=click.Path(path_type=Path))
@data_folder
def backup(*, target: Path, data_dir: Path | None) -> None:
    """Copy log, keys and audio into the new folder TARGET, while the service runs.

    The log is as of one moment, and all audio that it tells of is there. Audio in a bucket is not
    copied, and read models are not needed. PostgreSQL is dumped by its own pg_dump.
    """
    os.umask(PRIVATE)
    settings = settings_of_a_log(data_dir)
    if target.exists():
        raise ConfigError(f"{target} exists already: name a new folder")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        log.save(settings.store_url, partial)
        # After the log: what it tells of is stored before it tells of it.
        if not settings.minio_endpoint:
            _copy(settings.data_dir / AUDIO, partial / AUDIO)
        if (keys := settings.tts_api_keys_file) is not None and keys.exists():
            shutil.copyfile(keys, partial / KEYS)
        manifest = seal(
            partial,
            kind=log.kind_of(settings.store_url),
            version=version("tts-backend"),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        partial.replace(target)
    except OSError as error:
        raise ConfigError(f"{error.filename or target}: {error.strerror}") from error
    size = sum(size for size, _ in manifest.files.values())
    echo(f"{target}: {len(manifest.files)} files, {size / 1e6:.1f} MB.")
    if settings.minio_endpoint:
        echo(f"Audio lies in the bucket {settings.minio_bucket}: back that up at its own server.")


@click.command(cls=Tool)
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@data_folder
def restore(*, source: Path, data_dir: Path | None) -> None:
    """Bring a backup back to where there is no log: an empty data folder, or an empty database.

    The log begins a new epoch: positions go on above every one that was ever given, and whoever has
    seen what came after the backup is told so (`reset`).
    """
    os.umask(PRIVATE)
    settings = load(data_dir=data_dir)
    manifest = opened(source)
    kind = log.kind_of(settings.store_url)
    if manifest.kind != kind:
        raise ConfigError(f"{source} is of {manifest.kind}, and EVENT_STORE_URL names {kind}")
    try:
        if not settings.minio_endpoint:
            check_folder(settings.data_dir)
        log.load(settings.store_url, source)
        if not settings.minio_endpoint:
            _copy(source / AUDIO, settings.data_dir / AUDIO)
        keys = settings.tts_api_keys_file
        if keys is not None and not keys.exists() and (source / KEYS).exists():
            shutil.copyfile(source / KEYS, keys)
    except OSError as error:
        raise ConfigError(f"{error.filename or source}: {error.strerror}") from error
    first = asyncio.run(_begin_epoch(settings))
    echo(f"Restored, as of {manifest.made_at}; new events stand from position {first} on.")
    if settings.rabbitmq_url.get_secret_value():
        echo("Start one relay with --rebuild: the queue may know other tasks than the log.")


async def _begin_epoch(settings: Settings) -> int:
    """Have the log know that more may have been seen of it; where its positions go on."""
    async with open_store(settings.store_url, settings.direct_url) as store:
        await store.position(seen=await store.position() + 1)
        newest = store.epochs.newest
        return newest.first if newest else 0


def _copy(source: Path, target: Path) -> None:
    """The audio; what is erased or half written meanwhile is left out."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("[!.]*") if source.is_dir() else ():
        try:
            shutil.copyfile(path, target / path.name)
        except FileNotFoundError:
            (target / path.name).unlink(missing_ok=True)
