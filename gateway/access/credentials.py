"""Keys and tokens as requests show them; an address may be wrong only a few times a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.access.failures import Failures
from gateway.access.keyring import Keyring
from gateway.access.roles import Access
from gateway.errors import BadCredential, TooManyFailures, Unauthorized

BEARER = "bearer "


class Credentials:
    """Finds out who asks.

    From an address with too many failures an unknown key is refused unread. A key whose id exists
    is still read, so that nobody is locked out by a neighbour behind the same address: that costs a
    microsecond, and to guess it is hopeless at any speed.
    """

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self._failures = Failures()

    def of_header(self, header: str, address: str) -> Access:
        """Who shows this ``Authorization``.

        Raises:
            Unauthorized, BadCredential, TooManyFailures
        """
        if header[: len(BEARER)].lower() != BEARER:
            raise Unauthorized("Authorization: must be `Bearer <key>`")
        return self.of_key(header[len(BEARER) :].strip(), address)

    def of_key(self, text: str, address: str) -> Access:
        """Who shows this key.

        Raises:
            BadCredential, TooManyFailures
        """
        wait = self._failures.wait(address)
        if wait and not self._keys.knows(text):
            raise _throttled(wait)
        return self._tried(self._keys.of_key, text, address, wait)

    def of_token(self, text: str, address: str) -> Access:
        """Who shows this token.

        Raises:
            BadCredential, TooManyFailures
        """
        return self._tried(self._keys.of_token, text, address, self._failures.wait(address))

    def _tried(self, read: Callable[[str], Access], text: str, address: str, wait: float) -> Access:
        try:
            return replace(read(text), address=address)
        except BadCredential as error:
            # What was good once is no attempt to guess: browsers come back with it.
            if error.genuine:
                raise
            if wait:
                raise _throttled(wait) from error
            self._failures.count(address)
            raise


def _throttled(wait: float) -> TooManyFailures:
    return TooManyFailures("too many wrong keys or tokens from this address", retry_after=wait)
