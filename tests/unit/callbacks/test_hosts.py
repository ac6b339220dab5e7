"""One host that does not answer holds up nobody else."""

from tts.callbacks.hosts import AT_ONCE, PAUSE_MAX_SECONDS, Hosts


def test_a_host_takes_so_many_at_once():
    """And one more as soon as one is done."""
    hosts = Hosts()
    for _ in range(AT_ONCE):
        assert hosts.takes("a", 0)
        hosts.begin("a")
    assert not hosts.takes("a", 0)
    assert hosts.closed(0) == {"a"}
    assert hosts.takes("b", 0)
    hosts.end("a")
    assert hosts.takes("a", 0)
    assert hosts.closed(0) == set()


def test_a_silent_host_is_left_alone_for_longer_and_longer():
    """Then it is tried with one at a time, until it answers."""
    hosts = Hosts()
    hosts.silent("a", 10)
    assert hosts.closed(11) == {"a"}
    assert hosts.next_open(11) == 12
    assert hosts.takes("a", 12)
    hosts.begin("a")
    assert not hosts.takes("a", 12)
    hosts.end("a")
    for n in range(20):
        hosts.silent("a", 100 + n)
    assert hosts.next_open(119) == 119 + PAUSE_MAX_SECONDS
    hosts.answered("a")
    assert hosts.takes("a", 120)
    assert hosts.next_open(120) is None
