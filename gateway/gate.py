"""The gate before every route: who asks, may he, and has he not had enough."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sanic import Request

from gateway.access import ANYBODY, Access, Need
from gateway.errors import Forbidden, Unauthorized
from gateway.keyring import Keyring
from gateway.limits import Places, RateLimit
from tts.config import ConfigError, Settings

BEARER = "bearer "


class Gate:
    """Lets requests and streams in.

    Raises:
        ConfigError: no keys are configured, and others than this machine can reach the gateway.
    """

    def __init__(self, settings: Settings) -> None:
        path = settings.tts_api_keys_file
        if path is None and not (settings.tts_allow_anonymous or is_loopback(settings.host)):
            raise ConfigError(
                f"HOST: {settings.host} can be reached from elsewhere, and no keys are configured: "
                "set TTS_API_KEYS_FILE (`tts keys add` makes it), or TTS_ALLOW_ANONYMOUS=1 if "
                "everybody may do everything"
            )
        self._token_seconds = settings.stream_token_seconds
        self._keys = Keyring(path, token_seconds=self._token_seconds) if path else None
        rate = settings.rate_limit_per_key if path else settings.rate_limit_per_address
        self._rate = RateLimit(rate) if rate else None
        self._of_key = Places(settings.streams_per_key)
        self._of_address = Places(settings.streams_per_address)
        self.wide_open = self._keys is None and self._rate is None

    @property
    def guarded(self) -> bool:
        """Whether keys are configured."""
        return self._keys is not None

    def admit(self, request: Request, need: Need) -> Access:
        """Who asks.

        Raises:
            Unauthorized, Forbidden, TooManyRequests
        """
        if need is Need.NOTHING:
            return ANYBODY
        access = self._identify(request, need) if self._keys else ANYBODY
        self.spend(request, access)
        if not access.may(need):
            raise Forbidden(f"a key of role {access.role} may not do this")
        return access

    def spend(self, request: Request, access: Access) -> None:
        """Count a request, or a message that amounts to one.

        Raises:
            TooManyRequests
        """
        if self._rate is not None:
            self._rate.spend(access.key_id or request.client_ip)

    def holds(self, access: Access) -> bool:
        """Whether ``access`` would still be granted; a stream asks from time to time."""
        return self._keys is None or self._keys.holds(access)

    def enter_stream(self, request: Request, access: Access) -> Callable[[], None]:
        """Count a stream; returns what has to be called once when it is over.

        Raises:
            TooManyStreams
        """
        address = request.client_ip
        self._of_address.take(address)
        if access.key_id:
            try:
                self._of_key.take(access.key_id)
            except BaseException:
                self._of_address.leave(address)
                raise

        def leave() -> None:
            self._of_address.leave(address)
            if access.key_id:
                self._of_key.leave(access.key_id)

        return leave

    def stream_token(self, access: Access) -> tuple[str, datetime]:
        """A token for one who is admitted, and when it ends; a mere word where nobody is asked."""
        if self._keys is None:
            return "anonymous", datetime.now(UTC) + timedelta(seconds=self._token_seconds)
        return self._keys.token_for(access)

    def _identify(self, request: Request, need: Need) -> Access:
        assert self._keys is not None  # noqa: S101 -- the caller looked
        shown = request.headers.get("authorization")
        if shown is not None:
            if not shown.lower().startswith(BEARER):
                raise Unauthorized("Authorization: must be `Bearer <key>`")
            return self._keys.of_key(shown[len(BEARER) :].strip())
        token = request.args.get("token") if need is Need.STREAM else None
        if token is None:
            raise Unauthorized("a key is needed: Authorization: Bearer <key>")
        return self._keys.of_token(token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
