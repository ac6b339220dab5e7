"""The keys in force: read from their file at the start, and again when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from gateway.access import keys
from gateway.access.roles import Access, Quota
from gateway.errors import Unauthorized
from tts.config import ConfigError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how soon a changed file is noticed
_Stamp = tuple[int, int, int]


class Keyring:
    """Tells keys and stream tokens from inventions.

    A token is a key's id, signed with the time; what it grants is looked up when it is shown, so
    that a revoked key's tokens are worth nothing.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(
        self, path: Path, *, token_seconds: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._token_seconds = token_seconds
        self._clock = clock
        self._looked = clock()
        self._stamp = self._stat()
        self._keys = keys.load(path)

    def of_key(self, text: str) -> Access:
        """What a key grants.

        Raises:
            Unauthorized: nothing.
        """
        return self._granted(self._current().find(text), "the key is not known")

    def of_token(self, token: str) -> Access:
        """What a stream token grants.

        Raises:
            Unauthorized: nothing.
        """
        current = self._current()
        try:
            key_id = self._signer(current).loads(token, max_age=self._token_seconds)
        except BadSignature as error:  # SignatureExpired is one
            raise Unauthorized("the stream token is not valid, or not any more") from error
        return self._granted(current.by_id(key_id), "the stream token is not valid")

    def holds(self, access: Access) -> bool:
        """Whether what was granted once would be granted still."""
        key = self._current().by_id(access.key_id)
        return key is not None and key.access == access and not key.refusal(datetime.now(UTC))

    def quotas_of(self, owner: str) -> list[Quota]:
        """The quotas of the owner's keys that are good now."""
        return self._current().quotas_of(owner, datetime.now(UTC))

    def token_for(self, access: Access) -> tuple[str, datetime]:
        """A stream token for the key, and when it ends."""
        ends = datetime.now(UTC) + timedelta(seconds=self._token_seconds)
        return self._signer(self._current()).dumps(access.key_id), ends

    def _granted(self, key: keys.Key | None, unknown: str) -> Access:
        refusal = key.refusal(datetime.now(UTC)) if key else unknown
        if key is None or refusal:
            raise Unauthorized(refusal)
        return key.access

    def _signer(self, current: keys.Keys) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(current.stream_secret, salt="tts-stream-token")

    def _current(self) -> keys.Keys:
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if (stamp := self._stat()) != self._stamp:
                self._stamp = stamp
                self._reload()
        return self._keys

    def _reload(self) -> None:
        try:
            self._keys = keys.load(self._path)
        except ConfigError as error:
            # To lock everybody out would turn a slip of the pen into an outage.
            logger.error("The keys stay as they were: %s", error)  # noqa: TRY400 -- it says it all
        else:
            logger.info("The keys were read again", extra={"keys": len(self._keys.keys)})

    def _stat(self) -> _Stamp:
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)  # reading it says why
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
