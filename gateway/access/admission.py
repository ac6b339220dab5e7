"""Admission to every route: who asks, what they may do, and whether they had enough for now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sanic import Request

from gateway import security
from gateway.access import keys
from gateway.access.credentials import Credentials
from gateway.access.keyring import Keyring
from gateway.access.limits import Places, RateLimit
from gateway.access.roles import ANYBODY, STRANGER, Access, Need, Scope
from gateway.errors import Forbidden, Unauthorized
from gateway.room import Room
from gateway.security import Event
from tts.application.tasks import utc_now
from tts.config import ConfigError, Settings

OLD_KEYS = "TTS_API_KEYS_FILE: cannot be read; the keys stay as they were, and the log says why"


class Place:
    """The place of an open stream, which it has until it leaves."""

    __slots__ = ("_address", "_admission", "access", "ends")

    def __init__(self, admission: Admission, access: Access, address: str) -> None:
        self._admission = admission
        self._address = address
        self._hold(access)
        admission.places.take(access.key_id, address)

    def refusal(self) -> str:
        """Why its credential would not be good for entering any more; empty if it would."""
        return self._admission.refusal(self.access)

    def authenticate(self, text: str, *, is_token: bool) -> None:
        """Take another credential, of one who sees the same tasks.

        Raises:
            BadCredential, TooManyFailures, Forbidden, TooManyStreams
        """
        access = self._admission.authenticate(text, self._address, is_token=is_token)
        access.check(Need.SOCKET)
        if self.access is not STRANGER and access.scope != self.access.scope:
            raise Forbidden("this connection is another owner's: open one of your own")
        self._admission.places.change(self.access.key_id, access.key_id)
        self._hold(access)

    def spend(self) -> None:
        """Count a message that amounts to a request.

        Raises:
            TooManyRequests
        """
        self._admission.spend(self.access, self._address)

    def report(self, error: Exception, route: str) -> None:
        """Let the operator hear of a message that was refused."""
        report(error, self.access, self._address, route)

    def leave(self) -> None:
        """Give the place back; to be called once."""
        self._admission.places.leave(self.access.key_id, self._address)

    def _hold(self, access: Access) -> None:
        self.access = access
        self.ends = access.ends.timestamp() if access.ends is not None else math.inf


class Admission:
    """Lets requests and streams in.

    Raises:
        ConfigError: no keys are configured, and others than this machine can reach the gateway.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime] = utc_now) -> None:
        check_credentials(settings)
        self._now = now
        path = settings.tts_api_keys_file
        self._token_seconds = settings.stream_token_seconds
        self.keys = Keyring(path, token_seconds=self._token_seconds, now=now) if path else None
        self._credentials = Credentials(self.keys) if self.keys else None
        rate = settings.rate_limit_per_key if path else settings.rate_limit_per_address
        self._rate = RateLimit(rate) if rate else None
        self.room = Room.of_process()
        self.places = Places(
            self.room,
            per_key=settings.streams_per_key,
            per_address=settings.streams_per_address,
        )
        self.unguarded = self.keys is None and self._rate is None

    def admit(self, request: Request, need: Need) -> Access:
        """Who asks.

        Raises:
            Unauthorized, Forbidden, TooManyRequests
        """
        if need is Need.NOTHING:
            return ANYBODY
        access = self._identify(self._credentials, request, need) if self._credentials else ANYBODY
        if self._rate is not None:
            self.spend(access, request.client_ip)
        request.ctx.access = access
        access.check(need)
        return access

    def authenticate(self, text: str, address: str, *, is_token: bool) -> Access:
        """Who shows that over an open connection.

        Raises:
            BadCredential, TooManyFailures
        """
        if self._credentials is None:
            return ANYBODY
        read = self._credentials.of_token if is_token else self._credentials.of_key
        return read(text, address)

    def refusal(self, access: Access) -> str:
        """Why that would not be granted any more; empty if it would."""
        if self.keys is None or access is STRANGER:
            return ""
        return self.keys.refusal(access)

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
            TooManyStreams, NoRoom
        """
        return Place(self, access, request.client_ip)

    def token(self, access: Access, scope: Scope, object_key: str = "") -> tuple[str, datetime]:
        """A token for one who is admitted, and when it ends; a mere word where nobody is asked."""
        if self.keys is None:
            return "anonymous", self._now() + timedelta(seconds=self._token_seconds)
        return self.keys.token_for(access, scope, object_key)

    def notes(self) -> Sequence[str]:
        """What an operator should mend although everything works."""
        noted = [OLD_KEYS] if self.keys is not None and not self.keys.is_readable else []
        return [*noted, *filter(None, [self.room.note])]

    def _identify(self, credentials: Credentials, request: Request, need: Need) -> Access:
        header = request.headers.get("authorization")
        if header is not None:
            return credentials.of_header(header, request.client_ip)
        takes_token = need in {Need.STREAM, Need.SOCKET, Need.AUDIO}
        token = request.args.get("token") if takes_token else None
        if token is not None:
            return credentials.of_token(token, request.client_ip)
        if need is Need.SOCKET:
            return STRANGER
        raise Unauthorized("a key is needed: Authorization: Bearer <key>")


def check_credentials(settings: Settings) -> None:
    """Return if there are keys, or nobody needs one.

    Raises:
        ConfigError: they cannot be read; or others than this machine can reach the gateway.
    """
    if settings.tts_api_keys_file:
        keys.load(settings.tts_api_keys_file)
    elif settings.exposure and not settings.tts_allow_anonymous:
        raise ConfigError(
            f"{settings.exposure}, and no keys are configured: "
            "set TTS_API_KEYS_FILE (`tts keys add` makes it), or TTS_ALLOW_ANONYMOUS=1 if "
            "everybody may do everything"
        )


def report(error: Exception, access: Access | None, address: str, route: str) -> None:
    """Let the operator hear of a refusal, if it is one to hear of."""
    event = getattr(error, "event", None)
    if event is not None:
        key_id = getattr(error, "key_id", "") or (access.key_id if access is not None else "")
        security.report(event, key_id=key_id, address=address, route=route, reason=str(error))


def report_command(access: Access, route: str, what: str, *, owner: str | None = None) -> None:
    """Let the operator hear of a command about others' tasks; ``owner`` is whose task it was."""
    if access.key_id and access.scope is None and owner != access.owner:
        security.report(
            Event.ADMIN_COMMAND,
            key_id=access.key_id,
            address=access.address,
            route=route,
            reason=what,
        )
