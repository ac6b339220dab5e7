"""An archive: a file of compressed JSON lines, and a manifest that says it is whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from uuid import UUID

import orjson

from tts.cli.backup.manifest import measured
from tts.config import ConfigError
from tts.ports.log import Recorded

FORMAT = 1
EVENTS, MANIFEST, PARTIAL = ".jsonl.gz", ".json", ".partial"
LEVEL = 6


@dataclass(frozen=True)
class Manifest:
    """What an archive holds: whole tasks of one log, up to a time, in the order of positions.

    ``log`` is the id of the log, which it keeps for ever, and ``epoch`` the number of its newest
    epoch at the time. ``bytes`` and ``sha256`` are of the compressed file.
    """

    name: str
    log: str
    epoch: int
    made_at: str
    before: str
    version: str
    tasks: int
    events: int
    first: int
    last: int
    bytes: int = 0
    sha256: str = ""
    format: int = FORMAT


class Archive:
    """One that is there, in the folder."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.path = folder / f"{manifest.name}{EVENTS}"

    def check(self) -> None:
        """Return if its file is as it was written.

        Raises:
            ConfigError: it is not.
        """
        try:
            is_whole = measured(self.path) == (self.manifest.bytes, self.manifest.sha256)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error
        if not is_whole:
            raise ConfigError(f"{self.path} is not what was archived: bring a copy of it back")

    def events(self) -> Iterator[Recorded]:
        """All of them, in the order of their positions."""
        return _read(self.path)

    def histories(self) -> dict[UUID, list[Recorded]]:
        """The events of each task."""
        found: dict[UUID, list[Recorded]] = {}
        for event in self.events():
            found.setdefault(event.task_id, []).append(event)
        return found


def write(folder: Path, manifest: Manifest, events: Sequence[Recorded]) -> Archive:
    """Write an archive; when this returns it is whole, was read again, and is on the disk.

    Raises:
        ConfigError: it cannot be written.
    """
    path = folder / f"{manifest.name}{EVENTS}"
    try:
        partial = path.with_name(path.name + PARTIAL)
        with partial.open("wb") as file:
            with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as compressed:
                compressed.writelines(map(line, events))
            os.fsync(file.fileno())
        if any(read != event for read, event in zip_longest(_read(partial), events)):
            raise ConfigError(f"{partial}: what was written there comes back otherwise")
        size, digest = measured(partial)
        whole = replace(manifest, bytes=size, sha256=digest)
        partial.replace(path)
        partial = folder / f"{manifest.name}{MANIFEST}{PARTIAL}"
        with partial.open("wb") as file:
            file.write(orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(folder)  # the events are there before anything says so
        partial.replace(folder / f"{manifest.name}{MANIFEST}")
        _sync_folder(folder)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error
    return Archive(folder, whole)


def archives(folder: Path) -> list[Archive]:
    """Those in a folder, the oldest events first; what was not written to its end is none.

    Raises:
        ConfigError: a manifest cannot be read.
    """
    found = [
        Archive(folder, _manifest(path)) for path in sorted(folder.glob(f"events-*{MANIFEST}"))
    ]
    return sorted(found, key=lambda archive: archive.manifest.first)


def clear(folder: Path) -> None:
    """Remove what an earlier run has left half-written."""
    for path in folder.glob(f"events-*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _manifest(path: Path) -> Manifest:
    try:
        fields = orjson.loads(path.read_bytes())
        if fields["format"] != FORMAT:
            raise ConfigError(f"{path} has another format than {FORMAT}, which this version reads")
        manifest = Manifest(**fields)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is no manifest of an archive: {error}") from error
    if manifest.name != path.name.removesuffix(MANIFEST):
        raise ConfigError(f"{path} is the manifest of {manifest.name}: give it its name back")
    return manifest


def line(event: Recorded) -> bytes:
    """One event as it stands in an archive."""
    state = orjson.loads(event.state)
    # Bytes that another writer's JSON would not come back as stand there as a text.
    is_ours = orjson.dumps(state) == event.state
    row = {
        "position": event.position,
        "task": str(event.task_id),
        "version": event.version,
        "topic": event.topic,
        "timestamp": state.get("timestamp"),
        "state": orjson.Fragment(event.state) if is_ours else event.state.decode(),
    }
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _read(path: Path) -> Iterator[Recorded]:
    try:
        with gzip.open(path, "rb") as lines:
            yield from map(_event, lines)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _event(text: bytes) -> Recorded:
    row = orjson.loads(text)
    state = row["state"]
    raw = state.encode() if isinstance(state, str) else orjson.dumps(state)
    return Recorded(row["position"], UUID(row["task"]), row["version"], row["topic"], raw)


def in_order(histories: Iterable[Sequence[Recorded]]) -> list[Recorded]:
    """All events of some tasks in the order of their positions."""
    events = [event for history in histories for event in history]
    return sorted(events, key=lambda event: event.position)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
