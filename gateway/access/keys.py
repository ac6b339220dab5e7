"""The file of API keys: whom the gateway knows.

A key is ``tts_<id>_<secret>``, and the file holds the SHA-256 of the whole. A slow hash, as for
passwords, would protect nothing: the secret is 256 random bits, so there is no list of likely ones
to try, and each request would pay for it.

The file also holds the secret that stream tokens are signed with, so that every gateway that reads
the same keys takes the others' tokens.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.access.roles import BY_SETTINGS, Access, Quota, Role
from tts.config import ConfigError

PREFIX = "tts"
_NOBODYS = hashlib.sha256(b"").hexdigest()


class Key(BaseModel):
    """One key; its ``id`` is no secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    owner: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
    role: Role
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    max_tasks: int | None = Field(default=None, alias="maxTasks", ge=0)
    characters_per_day: int | None = Field(default=None, alias="charactersPerDay", ge=0)

    @property
    def access(self) -> Access:
        """What it grants."""
        return Access(self.owner, self.role, self.id, self.quota, self.expires)

    @property
    def quota(self) -> Quota:
        """What of its own it has."""
        return Quota(self.max_tasks, self.characters_per_day)

    def refusal(self, now: datetime) -> str:
        """Why it grants nothing any more; empty while it does."""
        if self.revoked is not None:
            return "the key is revoked"
        if self.expires is not None and self.expires <= now:
            return "the key has expired"
        return ""


class Keys(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    stream_secret: Annotated[str, Field(alias="streamSecret", min_length=32)]
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Keys:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same id")
        return self

    @cached_property
    def index(self) -> Mapping[str, Key]:
        """The keys by their ids."""
        return {key.id: key for key in self.keys}

    def find(self, text: str) -> Key | None:
        """The key that somebody shows, expired and revoked ones included."""
        key = self.by_id(id_of(text))
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        # An unknown id takes as long, and no comparison ends at the first wrong character.
        same = hmac.compare_digest(digest, key.sha256 if key else _NOBODYS)
        return key if same else None

    def by_id(self, key_id: str) -> Key | None:
        """The key of that id."""
        return self.index.get(key_id)

    def quotas_of(self, owner: str, now: datetime) -> list[Quota]:
        """Those of the owner's keys that grant something."""
        return [key.quota for key in self.keys if key.owner == owner and not key.refusal(now)]


def id_of(text: str) -> str:
    """The id in a key's text; anything at all if it is none."""
    _, _, rest = text.partition("_")
    return rest.partition("_")[0]


def load(path: Path) -> Keys:
    """Read the file.

    Raises:
        ConfigError: there is none, or it is not what ``tts keys`` wrote.
    """
    try:
        return Keys.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"TTS_API_KEYS_FILE: cannot read {path}: {error.strerror} (`tts keys add` makes it)"
        ) from error
    except ValidationError as error:
        # Without the input, which is somebody's hash or our secret.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"TTS_API_KEYS_FILE: {path}: {where} {first['msg']}") from error


def add(
    path: Path, *, owner: str, role: Role, expires: datetime | None, quota: Quota = BY_SETTINGS
) -> tuple[Key, str]:
    """Make a key; its text is returned here and never again.

    Raises:
        ConfigError: the file is not one of ours, or the owner's name is impossible.
    """
    key_id = secrets.token_hex(4)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    try:
        key = Key(
            id=key_id,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            owner=owner,
            role=role,
            created=datetime.now(UTC),
            expires=expires,
            maxTasks=quota.max_tasks,
            charactersPerDay=quota.characters_per_day,
        )
    except ValidationError as error:
        raise ConfigError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error
    _change(path, lambda keys: (*keys, key))
    return key, text


def revoke(path: Path, key_id: str) -> Key:
    """Take a key back; gateways refuse it within a second. Twice is as good as once.

    Raises:
        ConfigError: there is no such key.
    """

    def change(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        now = datetime.now(UTC)
        return tuple(
            key.model_copy(update={"revoked": now}) if key.id == key_id and not key.revoked else key
            for key in keys
        )

    key = _change(path, change).by_id(key_id)
    if key is None:
        raise ConfigError(f"there is no key {key_id!r} in {path}")
    return key


def _change(path: Path, change: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> Keys:
    with _locked(path.parent):
        old = load(path) if path.exists() else Keys(stream_secret=secrets.token_urlsafe(32))
        new = old.model_copy(update={"keys": change(old.keys)})
        # In one step: a gateway reads the old file or the new one. Nobody else may read it.
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 -- Path.open takes no mode
            file.write(new.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    return new


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two commands at once must not lose one's revocation."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
