"""The data folder: usable before anything is opened in it, closed to others, and whose it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from tts.cli.output import echo
from tts.config import ENV_FILE, ConfigError, Settings, file_of, load

LOCK = "tts.lock"
LOW_BYTES = 1_000_000_000
OTHERS = 0o055  # to read a file, or to enter a folder: group and everybody


def check_store(settings: Settings) -> None:
    """Make the folder of the SQLite file, and see that both can be written.

    Raises:
        ConfigError: they cannot.
    """
    if (file := file_of(settings.store_url)) is None:
        return
    name = "EVENT_STORE_URL" if settings.event_store_url.get_secret_value() else "DATA_DIR"
    check_folder(file.parent, name)
    if file.exists() and not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
        raise ConfigError(f"{name}: {file} is no file that can be read and written")


def check_folder(folder: Path, name: str = "DATA_DIR") -> None:
    """Make the folder if need be, and see that files can be made in it.

    Raises:
        ConfigError: they cannot; it names the setting ``name``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{name}: no file can be made in the folder {folder}: {error.strerror}; "
            "name another folder, or change its owner"
        ) from error


def free_bytes(folder: Path) -> int:
    """What is left on its disk."""
    return shutil.disk_usage(folder).free


def disk_notes(folder: Path) -> list[str]:
    """A sentence while little is left."""
    try:
        free = free_bytes(folder)
    except OSError:  # whoever needs it says so
        return []
    left = f"Only {free / 1e9:.2f} GB are free on the disk of DATA_DIR: make room"
    return [left] if free < LOW_BYTES else []


def claim(settings: Settings, stack: AsyncExitStack) -> bool:
    """Whether this is the only `tts up` that works in the folder; else that is said.

    The second one is a standby: it serves clients, and works when the first one ends.
    """
    if not (file_of(settings.store_url) or settings.sandboxed):
        return True
    check_folder(settings.data_dir)
    lock = settings.data_dir / LOCK
    try:
        file = stack.enter_context(lock.open("wb"))
    except OSError as error:
        raise ConfigError(f"DATA_DIR: {lock} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        echo(
            f"The data folder {settings.data_dir} is in use by another `tts up`, which does the "
            "work while it runs; for a service of its own give this one another with --data."
        )
        return False
    return True


def readable_by_others(settings: Settings) -> Iterator[str]:
    """A sentence for each place of secrets and texts that others on this machine can read."""
    places: list[tuple[str, Path | None]] = [
        ("DATA_DIR", settings.data_dir),
        ("TTS_API_KEYS_FILE", settings.tts_api_keys_file),
        ("Settings", Path(ENV_FILE)),
    ]
    for name, path in places:
        if path is not None and path.exists() and path.stat().st_mode & OTHERS:
            mode = path.stat().st_mode & 0o777
            yield f"{name}: others can read {path} (mode {mode:03o}): chmod go= {path}"


def settings_of_a_log(data_dir: Path | None) -> Settings:
    """The settings of a tool that works on a log which is there.

    Raises:
        ConfigError: there is none; opening it would make an empty one.
    """
    settings = load(data_dir=data_dir)
    if (file := file_of(settings.store_url)) and not file.exists():
        raise ConfigError(
            f"there is no event store at {settings.store_url}: give --data or EVENT_STORE_URL"
        )
    return settings
