"""Keys and tokens go by the clock that all gateways share, not by each machine's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.access import keys
from gateway.access.keyring import Keyring
from gateway.access.roles import Role, Scope
from gateway.errors import BadCredential

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)  # by a machine's own clock, all would be over
TOKEN_SECONDS = 300


class Clock:
    """The database's."""

    time = LONG_AGO

    def now(self) -> datetime:
        """The time for all."""
        return self.time


def test_a_token_of_one_gateway_is_good_at_another_and_for_as_long(tmp_path: Path) -> None:
    """And a key expires at all of them at one moment."""
    file, clock = tmp_path / "keys.json", Clock()
    expires = LONG_AGO + timedelta(hours=1)
    _, text = keys.add(file, owner="shop", role=Role.APP, expires=expires)
    one, other = (Keyring(file, token_seconds=TOKEN_SECONDS, now=clock.now) for _ in range(2))
    token, ends = one.token_for(one.of_key(text), Scope.STREAM)
    assert ends == LONG_AGO + timedelta(seconds=TOKEN_SECONDS)
    assert other.of_token(token).owner == "shop"
    clock.time += timedelta(seconds=TOKEN_SECONDS)
    with pytest.raises(BadCredential, match="the token has ended"):
        other.of_token(token)
    clock.time = expires
    for keyring in (one, other):
        with pytest.raises(BadCredential, match="the key has expired"):
            keyring.of_key(text)


def test_a_key_is_good_as_soon_as_it_is_added(tmp_path: Path) -> None:
    """Who pastes the commands of the greeting uses it within milliseconds."""
    file = tmp_path / "keys.json"
    keys.add(file, owner="shop", role=Role.APP, expires=None)
    keyring = Keyring(file, token_seconds=TOKEN_SECONDS, clock=lambda: 0.0)
    _, text = keys.add(file, owner="new", role=Role.APP, expires=None)
    assert keyring.of_key(text).owner == "new"
    with pytest.raises(BadCredential, match="not known"):
        keyring.of_key(text[:-1] + ("a" if text[-1] != "a" else "b"))
