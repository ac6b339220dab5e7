"""Whatever comes from outside is bounded, and nothing is reached that must not be."""

import asyncio
import contextlib
import gzip
import socket
import tracemalloc

import httpx
import pytest

from tests.services.ports import free_port
from tests.services.scripted_http import Reply, ScriptedHttp
from tts.http.errors import Coded, ForeignRedirect, OutOfReach, TooLarge
from tts.http.fetch import fetch
from tts.http.reach import Reach
from tts.http.transport import JSON_BYTES, Transport

ABROAD = Reach(own=httpx.URL("https://replicate.example.com"))


@pytest.fixture
async def server():
    async with ScriptedHttp() as server:
        yield server


@contextlib.asynccontextmanager
async def opened(**options):
    transport = Transport(timeout=5, **options)
    try:
        yield transport
    finally:
        await transport.aclose()


async def get(transport, url):
    """The whole document that lies there."""
    async with transport.ask("GET", url) as answer:
        return await answer.whole()


def chunked(body):
    """The body without a word of its length."""
    return Reply(
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), headers={"Transfer-Encoding": "chunked"}
    )


# --- the length of what is read


@pytest.mark.parametrize("make", [lambda body: Reply(body=body), chunked], ids=["said", "unsaid"])
async def test_a_body_is_read_up_to_its_limit_and_not_beyond(server, make):
    """The limit is the reader's, or the document's where it gives none."""
    server.on("GET /", make(b"x" * 1000))
    server.on("GET /document", make(b" " * (JSON_BYTES + 1)))
    async with opened() as transport:
        assert (await fetch(transport, server.url, limit=1000)).body == b"x" * 1000
        with pytest.raises(TooLarge):
            await fetch(transport, server.url, limit=999)
        with pytest.raises(TooLarge):
            await get(transport, f"{server.url}/document")


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "br", "deflate", "zstd"])
async def test_nothing_is_decompressed(server, coding):
    """We ask for what lies there as it is; who compresses all the same is refused, not unpacked."""
    bomb = gzip.compress(gzip.compress(b"\0" * 50_000_000))
    server.on("GET /", Reply(body=bomb, headers={"Content-Encoding": coding}))
    tracemalloc.start()
    async with opened() as transport:
        with pytest.raises(Coded):
            await get(transport, server.url)
        with pytest.raises(Coded):
            await fetch(transport, server.url, limit=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert {request.headers["Accept-Encoding"] for request in server.requests} == {"identity"}


async def test_an_answer_that_is_refused_does_not_spoil_the_next(server):
    """Its connection is given up, not read on."""
    server.on("GET /", Reply(body=b"x" * 2000), Reply(body=b"short"))
    async with opened() as transport:
        with pytest.raises(TooLarge):
            await fetch(transport, server.url, limit=1000)
        assert (await fetch(transport, server.url, limit=1000)).body == b"short"


# --- where it leads


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_nobody_sends_us_to_this_machine(server, host):
    """Not a byte arrives, however the address is spelt."""
    async with opened(reach=ABROAD) as transport:
        with pytest.raises((OutOfReach, httpx.UnsupportedProtocol)):
            await get(transport, f"http://{host}:{server.port}/")
    assert server.connections == 0


async def test_a_name_that_changes_its_address_is_judged_when_it_is_connected_to(
    server, monkeypatch
):
    """It was public when somebody looked, and leads inside when we come."""
    resolve, answers = socket.getaddrinfo, iter(["8.8.8.8", "127.0.0.1"])

    def rebinding(host, port, *args, **more):
        address = next(answers) if str(host).startswith("rebind.example.com") else host
        return resolve(address, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert socket.getaddrinfo("rebind.example.com", 80)[0][4][0] == "8.8.8.8"
    async with opened(reach=ABROAD) as transport:
        with pytest.raises(OutOfReach):
            await get(transport, f"http://rebind.example.com:{server.port}/")
    assert server.connections == 0


async def test_open_and_closed_ports_inside_look_the_same(server):
    """Nobody maps our network by what we answer."""
    told = set()
    async with opened(reach=ABROAD) as transport:
        for port in (server.port, free_port()):
            with pytest.raises(OutOfReach) as caught:
                await get(transport, f"http://127.0.0.1:{port}/")
            told.add(str(caught.value))
    assert told == {"its address is not public"}


async def test_each_hop_of_a_redirect_is_judged_anew(server):
    """Who may send us to listed hosts may not send us elsewhere."""
    reach = Reach(frozenset({"replicate.delivery"}), own=httpx.URL(server.url))
    async with ScriptedHttp() as other:
        for location in (f"{other.url}/a", "https://user:pw@replicate.delivery/a"):
            server.on("GET /", Reply(302, headers={"Location": location}))
            async with opened(reach=reach) as transport:
                with pytest.raises(OutOfReach):
                    await fetch(transport, server.url, limit=10, elsewhere=True)
                with pytest.raises(ForeignRedirect):
                    await fetch(transport, server.url, limit=10)
        assert other.connections == 0


# --- proxies


async def test_a_proxy_stands_before_the_world_but_not_before_this_machine(server, monkeypatch):
    """The sandbox and all that runs here is reached as if there were none."""
    server.on("GET /", Reply(body=b"direct"))
    async with ScriptedHttp() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        proxy.on("GET /abroad", Reply(body=b"by proxy"))
        async with opened() as transport:
            assert await get(transport, server.url) == b"direct"
            assert await get(transport, f"http://localhost:{server.port}/") == b"direct"
            assert await get(transport, "http://voices.example.com/abroad") == b"by proxy"
        (request,) = proxy.requests
        assert request.target == "http://voices.example.com/abroad"


async def test_a_proxy_is_not_asked_for_what_must_not_be_reached(monkeypatch):
    """It may stand inside our network, and see more of it than we do."""
    async with ScriptedHttp() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with opened(reach=ABROAD) as transport:
            for host in ("10.0.0.1", "intranet", "0x0a000001"):
                with pytest.raises(OutOfReach):
                    await get(transport, f"http://{host}/")
        assert proxy.requests == []


async def test_connections_that_a_burst_has_made_are_left_to_rest(server):
    """Those that follow share one, so that the others are closed in time and do not add up."""
    server.on("GET /", Reply())

    def used_at():
        (idle,) = transport._connections._opened().connector._conns.values()
        return {at for _, at in idle}

    async with opened() as transport:
        await asyncio.gather(*(get(transport, server.url) for _ in range(5)))
        burst = used_at()
        assert len(burst) == server.connections > 1
        for _ in range(10):
            await get(transport, server.url)
        assert len(used_at() - burst) == 1
        assert len(burst) == server.connections
