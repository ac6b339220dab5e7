"""What a backup holds, written down beside it: half of one, or a changed one, is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from tts.config import ConfigError

NAME = "backup.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """``kind`` is that of the database; ``files`` are sizes and SHA-256, by their paths in it."""

    kind: str
    version: str
    made_at: str
    files: Mapping[str, tuple[int, str]]
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it down, as the last file of a backup."""
        (folder / NAME).write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))


def seal(folder: Path, *, kind: str, version: str, made_at: str) -> Manifest:
    """The manifest of everything that lies in the folder, written down there."""
    files = {
        str(path.relative_to(folder)): measured(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = Manifest(kind, version, made_at, files)
    manifest.write(folder)
    return manifest


def opened(folder: Path) -> Manifest:
    """The manifest of a backup that is whole and as it was made.

    Raises:
        ConfigError: it is not.
    """
    path = folder / NAME
    try:
        fields = orjson.loads(path.read_bytes())
        if fields["format"] != FORMAT:
            raise ConfigError(f"{path} has another format than {FORMAT}, which this version reads")
        manifest = Manifest(**fields)
    except FileNotFoundError:
        raise ConfigError(f"{folder} is no backup: there is no {NAME} in it") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or measured(file) != tuple(expected):
            raise ConfigError(f"{file} is missing or not what was backed up: take another backup")
    return manifest


def measured(path: Path) -> tuple[int, str]:
    """How large a file is, in bytes, and its SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
