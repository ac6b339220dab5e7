"""Where a callback may go."""

import httpx
import pytest

from tts.http.callbacks import CallbackReach
from tts.http.errors import OutOfReach

ANY = CallbackReach()
LISTED = CallbackReach(frozenset({"app.internal", "10.0.0.7"}))


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/hook",
        "ftp://app.example.com/hook",
        "https:///hook",
        "https://user:pass@app.example.com/hook",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://10.0.0.7/hook",
        "https://169.254.169.254/latest",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://localhost/hook",
        "https://app.internal/hook",
        "https://printer.local/hook",
        "/hook",
        "javascript:alert(1)",
    ],
)
def test_by_itself_it_goes_by_https_to_the_public_net(url):
    """An address that says something else is refused with the request."""
    with pytest.raises(OutOfReach):
        ANY.check(httpx.URL(url))


@pytest.mark.parametrize("url", ["https://app.example.com", "https://8.8.8.8:8443/hook?a=b"])
def test_public_addresses_are_fine(url):
    """With whatever port, path and query."""
    ANY.check(httpx.URL(url))


def test_a_name_that_leads_inside_is_not_connected_to():
    """Whatever it was resolved to before."""
    assert ANY.admits("app.example.com", 443, "93.184.216.34")
    assert not ANY.admits("app.example.com", 443, "10.0.0.7")
    assert not ANY.admits("app.example.com", 443, "::ffff:127.0.0.1")


def test_listed_hosts_are_the_only_ones_wherever_they_are():
    """By http as well: whoever lists them knows his network."""
    LISTED.check(httpx.URL("http://app.internal:8080/hook"))
    LISTED.check(httpx.URL("https://v2.app.internal/hook"))
    LISTED.check(httpx.URL("http://10.0.0.7/hook"))
    assert LISTED.admits("app.internal", 8080, "10.0.0.9")
    assert not LISTED.admits("app.example.com", 443, "93.184.216.34")
    with pytest.raises(OutOfReach, match="CALLBACK_HOSTS"):
        LISTED.check(httpx.URL("https://app.example.com/hook"))
    with pytest.raises(OutOfReach, match="http"):
        LISTED.check(httpx.URL("ftp://app.internal/hook"))
