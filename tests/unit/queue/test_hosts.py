"""How one URL names several brokers."""

import aiormq
import pytest

from tts.queue.rabbitmq.hosts import HEARTBEAT_SECONDS, hosts


def test_each_host_has_the_users_and_the_vhost():
    """Ports may differ, and a missing one is the scheme's."""
    each = hosts("amqps://us%40er:p%2Fw@one:1,two,[::1]:3/v?cafile=/ca.pem")
    assert [(url.host, url.port) for url in each] == [("one", 1), ("two", None), ("::1", 3)]
    assert {(url.scheme, url.user, url.password, url.path) for url in each} == {
        ("amqps", "us@er", "p/w", "/v")
    }
    assert {url.query["cafile"] for url in each} == {"/ca.pem"}


@pytest.mark.parametrize("end", ["", "/", "/%2F", "/%2f", "//"])
async def test_the_first_vhost_has_several_names(end):
    """Nothing, a slash, and an encoded slash are the vhost `/`."""
    [url] = hosts(f"amqp://host{end}")
    assert aiormq.Connection(url).vhost == "/"


def test_a_heartbeat_of_the_url_is_kept():
    """Else it is ours."""
    assert [url.query["heartbeat"] for url in hosts("amqp://a,b/?heartbeat=60")] == ["60", "60"]
    assert hosts("amqp://a")[0].query["heartbeat"] == str(HEARTBEAT_SECONDS)
