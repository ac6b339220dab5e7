"""``/health`` and ``/metrics`` of a process that serves nothing else."""

import httpx
import pytest

from gateway.hosts import Hosts
from tests.services.ports import free_port
from tts.config import Settings
from tts.http.listening import bind
from tts.observability.monitor import monitor


@pytest.fixture
async def client():
    """Asks a monitor that somebody has named ``relay-1``."""
    port = free_port()
    door = Hosts(Settings(allowed_hosts="relay-1")).refusal
    async with (
        monitor(bind("127.0.0.1", port), {}, door=door),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/health", "/metrics", "/nothing"])
@pytest.mark.parametrize(
    ("host", "status", "code"),
    [("tts.attacker.example", 421, "host_not_allowed"), ("a b", 400, "bad_request")],
)
async def test_a_foreign_name_is_refused(client, path, host, status, code):
    """A page whose name was made to lead to this machine reads nothing."""
    answer = await client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9102", "relay-1:9102"])
async def test_its_own_names_are_served(client, host):
    """This machine, and those of ALLOWED_HOSTS."""
    answer = await client.get("/health", headers={"Host": host})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
