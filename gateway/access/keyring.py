"""The keys in force: read from their file at the start, and again when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import Gauge

from gateway import security
from gateway.access import keys, tokens
from gateway.access.roles import Access, Quota, Scope, Token
from gateway.errors import BadCredential
from gateway.security import Event
from tts.application.tasks import utc_now
from tts.config import ConfigError
from tts.observability.metrics.registries import GATEWAY

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # how soon a changed file is noticed
READABLE = Gauge(
    "tts_keys_file_readable", "1 while the keys in force are those of their file.", registry=GATEWAY
)
_Stamp = tuple[int, ...]


class Keyring:
    """Tells keys and tokens from inventions.

    ``now`` is one clock for all gateways, as each takes the tokens of all.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        token_seconds: int,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._token_seconds = token_seconds
        self._now = now
        self._clock = clock
        self._looked = clock()
        self._stamp = self._stat()
        self._keys = keys.load(path)
        self.version = 0  # another one when other keys are in force
        self.is_readable = True  # else the keys in force are those of before
        READABLE.set(1)

    def knows(self, text: str) -> bool:
        """Whether there is a key of that id, be it with another secret."""
        return self._found(lambda known: known.by_id(keys.id_of(text))) is not None

    def of_key(self, text: str) -> Access:
        """What a key grants.

        Raises:
            BadCredential: nothing.
        """
        key = self._found(lambda known: known.find(text))
        if key is None:
            shown = keys.id_of(text)
            raise BadCredential(
                "the key is not known", key_id=shown if self._keys.by_id(shown) else ""
            )
        return _granted(key, self._now())

    def of_token(self, text: str) -> Access:
        """What a token lends.

        Raises:
            BadCredential: nothing.
        """
        current = self._current()
        key_id, token = tokens.read(current.stream_secret, text)
        key = self._found(lambda known: known.by_id(key_id))
        if key is None:
            raise BadCredential("the key of the token is gone", key_id=key_id, genuine=True)
        access = _granted(key, self._now(), token)
        if reason := self.refusal(access):
            raise BadCredential(reason, key_id=key_id, genuine=True)
        return access

    def refusal(self, access: Access) -> str:
        """Why what was granted once would not be granted now; empty if it would."""
        now = self._now()
        key = self._current().by_id(access.key_id)
        if key is None:
            return "the key is gone"
        if reason := key.refusal(now):
            return reason
        if access.token is not None and access.token.ends <= now:
            return "the token has ended: get another one at POST /api/stream-token"
        return "" if _access(key, access.token) == access else "the key grants something else now"

    def quotas_of(self, owner: str) -> list[Quota]:
        """The quotas of the owner's keys that are good now."""
        return self._current().quotas_of(owner, self._now())

    def token_for(self, access: Access, scope: Scope, object_key: str = "") -> tuple[str, datetime]:
        """A token for the key, and when it ends: never later than the key."""
        ends = self._now() + timedelta(seconds=self._token_seconds)
        if access.expires is not None:
            ends = min(ends, access.expires)
        token = Token(scope, ends, object_key)
        return tokens.write(self._current().stream_secret, access.key_id, token), ends

    def look(self) -> None:
        """Read the file again if it has changed; requests do so now and then."""
        self._looked = self._clock()
        if (stamp := self._stat()) != self._stamp:
            self._stamp = stamp
            self._reload()

    def _found(self, find: Callable[[keys.Keys], keys.Key | None]) -> keys.Key | None:
        """A key, be it one that was added a moment ago."""
        key = find(self._current())
        if key is None:
            self.look()
            key = find(self._keys)
        return key

    def _current(self) -> keys.Keys:
        if self._clock() - self._looked >= LOOK_SECONDS:
            self.look()
        return self._keys

    def _reload(self) -> None:
        before = self._keys
        try:
            self._keys = keys.load(self._path)
        except ConfigError as error:
            # To lock everybody out would turn a slip of the pen into an outage.
            logger.error("The keys stay as they were: %s", error)  # noqa: TRY400 -- it says it all
            security.report(Event.KEYS_UNREADABLE, reason="the keys stay as they were")
        else:
            self.version += 1
            logger.info("The keys were read again", extra={"keys": len(self._keys.keys)})
            for event, key, reason in _changes(before, self._keys):
                security.report(event, key_id=key.id, reason=reason)
        self.is_readable = self._keys is not before
        READABLE.set(self.is_readable)

    def _stat(self) -> _Stamp:
        try:
            stat = self._path.stat()
        except OSError:
            return ()  # reading it says why
        # The times of its change and of that of its permissions.
        return (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)


def _granted(key: keys.Key, now: datetime, token: Token | None = None) -> Access:
    if reason := key.refusal(now):
        raise BadCredential(reason, key_id=key.id, genuine=True)
    return _access(key, token)


def _access(key: keys.Key, token: Token | None) -> Access:
    return Access(key.owner, key.role, key.id, key.quota, key.expires, token)


def _changes(before: keys.Keys, now: keys.Keys) -> Iterator[tuple[Event, keys.Key, str]]:
    for key in now.keys:
        old = before.by_id(key.id)
        if old is None:
            yield Event.KEY_ADDED, key, f"role {key.role} for owner {key.owner}"
        elif key.revoked and not old.revoked:
            yield Event.KEY_REVOKED, key, "revoked"
        elif key != old:
            yield Event.KEY_CHANGED, key, f"role {key.role} for owner {key.owner}"
    for key in before.keys:
        if now.by_id(key.id) is None:
            yield Event.KEY_REVOKED, key, "gone from the file"
