"""Admission to every route: who asks, what they may do, and whether they had enough for now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sanic import Request

from gateway.access.keyring import Keyring
from gateway.access.limits import Places, RateLimit
from gateway.access.roles import ANYBODY, Access, Need
from gateway.errors import Forbidden, Unauthorized
from tts.config import ConfigError, Settings

BEARER = "bearer "


class Place:
    """The place of an open stream, which it has until it leaves."""

    __slots__ = ("_address", "_admission", "access")

    def __init__(self, admission: Admission, access: Access, address: str) -> None:
        self.access = access
        self._admission = admission
        self._address = address
        admission.places.take(access.key_id, address)

    def holds(self) -> bool:
        """Whether the key would still be good for entering."""
        return self._admission.keys is None or self._admission.keys.holds(self.access)

    def spend(self) -> None:
        """Count a message that amounts to a request.

        Raises:
            TooManyRequests
        """
        self._admission.spend(self.access, self._address)

    def leave(self) -> None:
        """Give the place back; to be called once."""
        self._admission.places.leave(self.access.key_id, self._address)


class Admission:
    """Lets requests and streams in.

    Raises:
        ConfigError: no keys are configured, and others than this machine can reach the gateway.
    """

    def __init__(self, settings: Settings) -> None:
        path = settings.tts_api_keys_file
        if path is None and settings.exposure and not settings.tts_allow_anonymous:
            raise ConfigError(
                f"{settings.exposure}, and no keys are configured: "
                "set TTS_API_KEYS_FILE (`tts keys add` makes it), or TTS_ALLOW_ANONYMOUS=1 if "
                "everybody may do everything"
            )
        self._token_seconds = settings.stream_token_seconds
        self.keys = Keyring(path, token_seconds=self._token_seconds) if path else None
        rate = settings.rate_limit_per_key if path else settings.rate_limit_per_address
        self._rate = RateLimit(rate) if rate else None
        self.places = Places(
            per_key=settings.streams_per_key, per_address=settings.streams_per_address
        )
        self.unguarded = self.keys is None and self._rate is None

    def admit(self, request: Request, need: Need) -> Access:
        """Who asks.

        Raises:
            Unauthorized, Forbidden, TooManyRequests
        """
        if need is Need.NOTHING:
            return ANYBODY
        access = self._identify(request, need) if self.keys else ANYBODY
        if self._rate is not None:
            self.spend(access, request.client_ip)
        if not access.may(need):
            raise Forbidden(f"a key of role {access.role} may not do this")
        return access

    def spend(self, access: Access, address: str) -> None:
        """Count a request of that key, or else of that address.

        Raises:
            TooManyRequests
        """
        if self._rate is not None:
            self._rate.spend(access.key_id or address)

    def place(self, request: Request, access: Access) -> Place:
        """Count a stream.

        Raises:
            TooManyStreams
        """
        return Place(self, access, request.client_ip)

    def stream_token(self, access: Access) -> tuple[str, datetime]:
        """A token for one who is admitted, and when it ends; a mere word where nobody is asked."""
        if self.keys is None:
            return "anonymous", datetime.now(UTC) + timedelta(seconds=self._token_seconds)
        return self.keys.token_for(access)

    def _identify(self, request: Request, need: Need) -> Access:
        assert self.keys is not None  # noqa: S101 -- the caller looked
        credentials = request.headers.get("authorization")
        if credentials is not None:
            if not credentials.lower().startswith(BEARER):
                raise Unauthorized("Authorization: must be `Bearer <key>`")
            return self.keys.of_key(credentials[len(BEARER) :].strip())
        token = request.args.get("token") if need is Need.STREAM else None
        if token is None:
            raise Unauthorized("a key is needed: Authorization: Bearer <key>")
        return self.keys.of_token(token)
