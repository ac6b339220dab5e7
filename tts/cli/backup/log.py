"""The log in a backup: a copy of the SQLite file, or a dump by PostgreSQL's own tools."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from tts.config import ConfigError, file_of

SQLITE = "sqlite"
POSTGRES = "postgresql"
BARE = ("--no-owner", "--no-privileges")  # they may be others where it is restored
FILES = {SQLITE: "log.db", POSTGRES: "log.dump"}


def kind_of(url: str) -> str:
    """The kind of the database at that URL."""
    return SQLITE if file_of(url) else POSTGRES


def save(url: str, folder: Path) -> None:
    """Copy the log as it is at one moment, while it is written to; nothing of it is changed.

    Raises:
        ConfigError: it cannot be copied.
    """
    target = folder / FILES[kind_of(url)]
    if (file := file_of(url)) is None:
        _run(["pg_dump", "--format=custom", *BARE, "--file", str(target)], url)
        return
    source = f"file:{quote(str(file))}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(source, uri=True)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)  # in one go: others write, and would have it begin anew
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, and none beside it
    except sqlite3.Error as error:
        raise ConfigError(f"{file} cannot be copied: {error}") from error


def load(url: str, folder: Path) -> None:
    """Bring the log back to where there is none.

    Raises:
        ConfigError: there is one, or it cannot be brought back.
    """
    source = folder / FILES[kind_of(url)]
    if (file := file_of(url)) is None:
        _run(
            ["pg_restore", *BARE, "--exit-on-error", "--single-transaction"],
            url,
            source,
        )
        return
    if file.exists():
        raise ConfigError(f"there is a log at {file} already: restore into an empty folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.restoring")
    shutil.copyfile(source, partial)
    with partial.open("rb") as copy:
        os.fsync(copy.fileno())
    partial.replace(file)


def _run(command: Sequence[str], url: str, *more: Path) -> None:
    """Run a tool of PostgreSQL's on the database; the password is not in its arguments."""
    parts = urlsplit(url)
    _, _, host = parts.netloc.rpartition("@")
    user = f"{parts.netloc.rpartition('@')[0].partition(':')[0]}@" if "@" in parts.netloc else ""
    environment = dict(os.environ)
    if parts.password:
        environment["PGPASSWORD"] = unquote(parts.password)
    bare = urlunsplit(parts._replace(netloc=user + host))
    try:
        ended = subprocess.run(  # noqa: S603 -- our own words
            [*command, "--dbname", bare, *map(str, more)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError(
            f"{command[0]} is not installed: it comes with PostgreSQL (Debian: postgresql-client), "
            "in a version not older than the server's"
        ) from None
    if ended.returncode:
        raise ConfigError(f"{command[0]}: {ended.stderr.strip() or 'no reason given'}")
