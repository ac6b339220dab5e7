"""Where an address that somebody else chose may lead."""

import httpx
import pytest

from tts.http.errors import OutOfReach
from tts.http.reach import Reach, is_loopback

LISTED = Reach(frozenset({"replicate.delivery"}), own=httpx.URL("https://api.replicate.com"))
PROXIED = Reach(own=httpx.URL("https://replicate.example.com/base"))
INNER = Reach(own=httpx.URL("http://replicate.inner:8080"))
LOCAL = Reach(own=httpx.URL("http://127.0.0.1:3003"))

INNER_ADDRESSES = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",  # noqa: S104 -- nothing is bound to it
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.192",
    "168.63.129.16",
    "100.100.100.200",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
]
PUBLIC_ADDRESSES = ["104.18.0.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", INNER_ADDRESSES)
@pytest.mark.parametrize("reach", [LISTED, PROXIED, INNER], ids=["listed", "proxied", "inner"])
def test_nothing_inside_is_connected_to(reach, address):
    """However it is spelt, and whatever name led there."""
    assert not reach.admits("replicate.delivery", 443, address)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
@pytest.mark.parametrize("reach", [LISTED, PROXIED, INNER, LOCAL])
def test_what_is_public_is_connected_to(reach, address):
    """Also as an IPv4 address in IPv6."""
    assert reach.admits("replicate.delivery", 443, address)


def test_the_placeholders_of_a_vpn_are_taken_where_a_certificate_proves_the_host():
    """They stand for any host, so without a list they prove nothing."""
    assert LISTED.admits("replicate.delivery", 443, "198.18.0.7")
    assert not PROXIED.admits("files.example.com", 443, "198.18.0.7")


def test_what_lies_at_our_own_base_is_fetched_wherever_that_is():
    """The operator named it; another port of that host is another service."""
    assert INNER.admits("replicate.inner", 8080, "10.0.0.7")
    assert not INNER.admits("replicate.inner", 22, "10.0.0.7")
    assert not INNER.admits("127.0.0.1", 8080, "127.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_reached_only_if_the_base_is_there(address):
    """As with the sandbox; the network around it is no nearer for that."""
    assert LOCAL.admits("localhost", 9999, address)
    assert not LOCAL.admits("router", 80, "192.168.1.1")
    assert not PROXIED.admits("localhost", 443, address)


@pytest.mark.parametrize(
    "url",
    [
        "https://replicate.delivery/o.wav",
        "https://pbxt.replicate.delivery:8443/o.wav",
        "https://REPLICATE.delivery./o.wav",
    ],
)
def test_listed_hosts_are_fetched_from_with_what_is_below_them(url):
    """By https, on any port."""
    LISTED.check(httpx.URL(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://replicate.delivery/o.wav",
        "https://evilreplicate.delivery/o.wav",
        "https://replicate.delivery.evil.test/o.wav",
        "https://evil.test/replicate.delivery",
        "https://replicate.delivery@evil.test/o.wav",
        "https://user:pw@replicate.delivery/o.wav",
        "https://user@replicate.delivery/o.wav",
        "https://127.0.0.1/o.wav",
        "file:///etc/passwd",
        "ftp://replicate.delivery/o.wav",
        "https:///o.wav",
    ],
)
def test_nothing_else_is_even_asked_for_where_there_is_a_list(url):
    """The reason names neither host nor port."""
    with pytest.raises(OutOfReach) as caught:
        LISTED.check(httpx.URL(url))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "2130706433",
        "0x7f000001",
        "::1",
        "intranet",
        "db.internal",
        "a.local.",
    ],
)
def test_a_proxy_is_asked_for_no_inner_host(host):
    """It resolves the name itself, so the name has to do."""
    assert not PROXIED.admits_by_proxy(host, 80)
    assert PROXIED.admits_by_proxy("files.example.com", 80)
    assert LISTED.admits_by_proxy("pbxt.replicate.delivery", 443)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
)
def test_this_machine_is_known_by_name_and_number(host):
    """In all the spellings that a URL has for it."""
    assert is_loopback(host)
    assert not is_loopback("localhost.example.com")
