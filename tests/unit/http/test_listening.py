"""Listening on addresses of either kind of IP."""

import socket

import pytest

from tests.services.ports import free_port
from tts.http.listening import bind, listen, url_of
from tts.ports.errors import Unavailable

EVERY_IPV4 = "0.0.0.0"  # noqa: S104 -- as operators write it


def reached(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex((address, port)) == 0


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("::", {"::1", "127.0.0.1"}),
        ("::1", {"::1"}),
        (EVERY_IPV4, {"127.0.0.1"}),
        ("127.0.0.1", {"127.0.0.1"}),
        ("localhost", {"127.0.0.1"}),
    ],
)
def test_an_address_is_that_one_and_two_colons_are_all(host: str, addresses: set[str]) -> None:
    """``::`` is for IPv4, too; any other is no second one."""
    port = free_port()
    with bind(host, port) as listener:
        listen(listener, 5)
        assert {each for each in ("::1", "127.0.0.1") if reached(each, port)} == addresses


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    """In URLs, and in what is said of it."""
    port = free_port()
    with bind("::1", port) as listener:
        assert url_of(listener) == f"http://[::1]:{port}"
        listen(listener, 5)
        with pytest.raises(Unavailable, match=rf"PORT: cannot listen on \[::1\]:{port}: .*in use"):
            bind("::1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused_by_name(host: str) -> None:
    """The setting that is wrong is HOST, not the port."""
    with pytest.raises(Unavailable, match=r"^HOST: .*set an address of this machine"):
        bind(host, free_port(), "METRICS_PORT")
