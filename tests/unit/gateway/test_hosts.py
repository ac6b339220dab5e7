"""Which names are this gateway's own, and whose pages may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from sanic.exceptions import BadRequest

from gateway.errors import HostNotAllowed
from gateway.hosts import Hosts
from tts.config import Settings

LOOPBACK = ("127.0.0.1", 3002)
REACHED = ("192.0.2.7", 3002)
EVERYWHERE = "0.0.0.0"  # noqa: S104 -- as operators write it


def hosts(**settings: Any) -> Hosts:
    """The names under these settings."""
    return Hosts(Settings(_env_file=None, tts_allow_anonymous=True, **settings))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:3002",
        "localhost.",
        "app.localhost:80",
        "127.0.0.1:1",
        "127.255.0.9",
        "[::1]:3002",
        "tts.example.com",
        "tts.example.com:8443",
        "listed.example",
        "listed.example:81",
        "ported.example:8080",
        "tls.example",
        "tls.example:443",
    ],
)
def test_own_names(host: str):
    """Loopback under any port, the host of PUBLIC_URL, and what is listed."""
    ours = hosts(
        public_url="https://tts.example.com",
        allowed_hosts="listed.example,ported.example:8080,tls.example:443",
    )
    for _ in range(2):  # it is remembered
        ours.check(host, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:3002",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "evillocalhost",
        "sub.tts.example.com",
        "example.com",
        "ported.example",
        "ported.example:81",
        "192.0.2.7:3002",
        "0x7f.1",
        "2130706433",
    ],
)
def test_names_of_others(host: str):
    """The answer says which setting would make them ours."""
    ours = hosts(public_url="https://tts.example.com", allowed_hosts="ported.example:8080")
    for _ in range(2):
        with pytest.raises(HostNotAllowed, match="ALLOWED_HOSTS"):
            ours.check(host, REACHED)


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "user@localhost", "localhost:x", "localhost:1:2", "[::1", "a/b", "é"]
)
def test_what_is_no_host(host: str):
    """A name that nobody can have is a bad request."""
    with pytest.raises(BadRequest):
        hosts().check(host, LOOPBACK)


@pytest.mark.parametrize("came_in_on", [REACHED, ("::ffff:192.0.2.7", 3002)])
def test_the_address_of_the_connection_is_a_name_where_others_can_reach_it(came_in_on):
    """Load balancers ask for the health of an address; on loopback nobody comes from elsewhere."""
    everywhere = hosts(host=EVERYWHERE)
    everywhere.check("192.0.2.7:3002", came_in_on)
    with pytest.raises(HostNotAllowed):
        everywhere.check("192.0.2.8", came_in_on)
    with pytest.raises(HostNotAllowed):
        everywhere.check("192.0.2.7", ("192.0.2.9", 3002))
    with pytest.raises(HostNotAllowed):
        hosts().check("192.0.2.7", came_in_on)


PAGES = {
    "http://localhost:3002": True,
    "http://127.0.0.1:3002": True,
    "https://tts.example.com": True,
    "https://tts.example.com:443": True,
    "http://tts.example.com": False,
    "https://tts.example.com:444": False,
    "http://listed.example": True,
    "https://listed.example": True,
    "http://listed.example:3002": True,
    "http://listed.example:81": False,
    "http://ported.example:8080": True,
    "http://ported.example": False,
    "https://app.example.com": True,
    "https://app.example.com.evil.test": False,
    "http://localhost:8080": False,
    "http://localhost": False,
    "http://evil.test:3002": False,
    "http://evil.test": False,
    "null": False,
    "": False,
    "file://": False,
    "http://": False,
    "ftp://localhost:3002": False,
    "http://localhost:3002@evil.test": False,
}


@pytest.mark.parametrize(("origin", "may"), PAGES.items())
def test_pages_that_may_open_a_websocket(origin: str, may: bool):  # noqa: FBT001
    """Our own, to the port, and those that CORS_ORIGINS lists."""
    ours = hosts(
        public_url="https://tts.example.com",
        allowed_hosts="listed.example,ported.example:8080",
        cors_origins="https://app.example.com",
    )
    assert ours.may_open(origin, LOOPBACK) is may


def test_any_page_may_if_an_operator_says_so():
    """CORS_ORIGINS=* is for those without an origin, too."""
    for origin in ("http://evil.test", "null"):
        assert hosts(cors_origins="*").may_open(origin, LOOPBACK)
